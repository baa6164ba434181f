export declare function serversDir(): string;
export declare function stopOrphans(): void;
declare const teardown: () => void;
export default teardown;
