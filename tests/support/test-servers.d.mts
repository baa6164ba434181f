export declare function serversDir(): string;
export declare function stopOrphans(): void;
declare const stopAll: () => void;
// biome-ignore lint/style/noDefaultExport: jest wants it so
export default stopAll;
