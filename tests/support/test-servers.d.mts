export declare function serversDir(): string;
export declare function stopOrphans(): void;
