/** What Prometheus may ask: counters and histograms of requests, gauges of the engine. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { ChoiceEnd, StartEvent } from '../../chat/events.js';
import type { ExpertStatistics } from '../../engine/types.js';

export interface EngineGauges {
  readonly ready: boolean;
  readonly waiting: number;
  readonly slotsTaken: number;
  readonly slots: number;
  readonly restarts: number;
  readonly memoryBytes: number;
  readonly modelsLoaded: number;
}

const waits = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

export class Metrics {
  readonly #registry = new Registry();
  readonly #requests = this.#counter('requests_total', 'Requests by route and status', [
    'route',
    'status',
  ]);
  readonly #duration = this.#histogram('request_duration_seconds', 'Time of whole requests', [
    'route',
  ]);
  readonly #firstToken = this.#histogram(
    'time_to_first_token_seconds',
    'From the request to the first text',
  );
  readonly #betweenTokens = this.#histogram(
    'time_between_tokens_seconds',
    'Between pieces of text of one stream',
  );
  readonly #prompt = this.#counter('prompt_tokens_total', 'Tokens of prompts');
  readonly #cached = this.#counter('cached_tokens_total', 'Tokens of prompts that were cached');
  readonly #generated = this.#counter('generated_tokens_total', 'Tokens of texts');
  readonly #drafted = this.#counter('drafted_tokens_total', 'Tokens drafted', ['drafter']);
  readonly #accepted = this.#counter('accepted_tokens_total', 'Drafts accepted', ['drafter']);
  readonly #cancelled = this.#counter('cancelled_total', 'Requests that clients gave up');
  readonly #gauges: Readonly<Record<keyof EngineGauges, Gauge>>;
  readonly #engine: () => EngineGauges;
  readonly #expertsAsked = this.#counter('experts_asked_total', 'Experts that passes needed', [
    'model',
  ]);
  readonly #expertsFound = this.#counter('experts_found_total', 'Of these, those in memory', [
    'model',
  ]);
  readonly #expertBytes = this.#counter('expert_bytes_read_total', 'Bytes of experts read', [
    'model',
  ]);
  readonly #expertRows = this.#counter('expert_rows_total', 'Rows whose experts were asked for', [
    'model',
  ]);
  readonly #expertWait = this.#counter(
    'expert_wait_seconds_total',
    'Time that computing waited for experts',
    ['model'],
  );
  readonly #experts: () => Iterable<readonly [model: string, statistics: ExpertStatistics]>;

  constructor(
    engine: () => EngineGauges,
    experts: () => Iterable<readonly [model: string, statistics: ExpertStatistics]> = () => [],
  ) {
    this.#engine = engine;
    this.#experts = experts;
    const gauge = (name: string, help: string): Gauge =>
      new Gauge({ name: `paceline_${name}`, help, registers: [this.#registry] });
    this.#gauges = {
      ready: gauge('ready', 'Whether the engine answers'),
      waiting: gauge('queue_requests', 'Requests that wait for a slot'),
      slotsTaken: gauge('slots_busy', 'Slots that generate'),
      slots: gauge('slots', 'Slots of each model'),
      restarts: gauge('engine_restarts', 'How often the engine was started again'),
      memoryBytes: gauge('engine_memory_bytes', 'Resident memory of the engine'),
      modelsLoaded: gauge('models_loaded', 'Models in memory'),
    };
  }

  request(route: string, status: number, seconds: number): void {
    this.#requests.inc({ route, status });
    this.#duration.observe({ route }, seconds);
  }

  start({ promptTokens, cachedTokens }: StartEvent): void {
    this.#prompt.inc(promptTokens);
    this.#cached.inc(cachedTokens);
  }

  firstToken(seconds: number): void {
    this.#firstToken.observe(seconds);
  }

  betweenTokens(seconds: number): void {
    this.#betweenTokens.observe(seconds);
  }

  end({ tokens, draft }: ChoiceEnd): void {
    this.#generated.inc(tokens);
    for (const [drafter, { drafted, accepted }] of Object.entries(draft.byDrafter)) {
      this.#drafted.inc({ drafter }, drafted);
      this.#accepted.inc({ drafter }, accepted);
    }
  }

  cancelled(): void {
    this.#cancelled.inc();
  }

  /** In Prometheus's text format. */
  async text(): Promise<{ readonly contentType: string; readonly text: string }> {
    const now = this.#engine();
    for (const [name, gauge] of Object.entries(this.#gauges)) {
      gauge.set(Number(now[name as keyof EngineGauges]));
    }
    // The engine counts: what it says is what these counters are.
    for (const [model, { asked, found, bytesRead, rows, waitedMs }] of this.#experts()) {
      const counts: readonly [Counter, number][] = [
        [this.#expertsAsked, asked],
        [this.#expertsFound, found],
        [this.#expertBytes, bytesRead],
        [this.#expertRows, rows],
        [this.#expertWait, waitedMs / 1000],
      ];
      for (const [counter, count] of counts) {
        counter.remove({ model });
        counter.inc({ model }, count);
      }
    }
    return { contentType: this.#registry.contentType, text: await this.#registry.metrics() };
  }

  #counter(name: string, help: string, labelNames: readonly string[] = []): Counter {
    const full = `paceline_${name}`;
    return new Counter({ name: full, help, labelNames, registers: [this.#registry] });
  }

  #histogram(name: string, help: string, labelNames: readonly string[] = []): Histogram {
    const full = `paceline_${name}`;
    return new Histogram({
      name: full,
      help,
      labelNames,
      buckets: waits,
      registers: [this.#registry],
    });
  }
}
