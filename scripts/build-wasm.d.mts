/** The bytes of the agent's WebAssembly, compiled from its text. */
export function compileCdc(): Promise<Uint8Array>;
