// Setup of the jest project that runs the server's own suites on PostgreSQL: each database that a test asks for is a fresh one
// on the real server.
import { realPostgres } from './real-postgres.ts';

Object.assign(globalThis, {
  safeTestDatabase: () => {
    const url = new URL(realPostgres().url);
    const { password } = url;
    url.password = '';
    return { url: url.href, password, connections: 10 };
  },
});
