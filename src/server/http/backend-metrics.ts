/** What Prometheus may ask of other engines: ours of each upstream, and theirs under our names. */
import type { BackendEngine, UpstreamReport } from '../../backends/engine.js';
import { familyText, readBackendMetrics, sampleText } from '../../backends/metrics.js';

type Count = 'up' | 'outstanding' | 'requests' | 'failures' | 'restarts';

const families: Readonly<
  Record<
    Count,
    { readonly name: string; readonly help: string; readonly type: 'counter' | 'gauge' }
  >
> = {
  up: { name: 'backend_up', help: 'Whether an upstream gets requests', type: 'gauge' },
  outstanding: {
    name: 'backend_outstanding_requests',
    help: 'Requests that an upstream was given and works on',
    type: 'gauge',
  },
  requests: {
    name: 'backend_requests_total',
    help: 'Requests given to an upstream',
    type: 'counter',
  },
  failures: {
    name: 'backend_failures_total',
    help: 'Requests that failed by the fault of an upstream',
    type: 'counter',
  },
  restarts: {
    name: 'backend_restarts_total',
    help: 'How often an engine of ours was started again',
    type: 'counter',
  },
};

/** In Prometheus’s text format, after the metrics of the server itself. */
export async function backendMetrics(engine: BackendEngine, signal: AbortSignal): Promise<string> {
  const { reports } = engine;
  const own = Object.entries(families).map(([key, family]) => {
    const lines = reports.map((report) => {
      const { backend, url: upstream } = report;
      return sampleText(family.name, { backend, upstream }, countOf(report, key as Count));
    });
    return familyText({ ...family, lines });
  });
  return `\n${own.join('')}${await readBackendMetrics(engine.available, signal)}`;
}

function countOf(report: UpstreamReport, key: Count): number {
  if (key === 'up') return report.state === 'up' || report.state === 'ready' ? 1 : 0;
  return report[key];
}
