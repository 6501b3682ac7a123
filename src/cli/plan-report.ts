/** What `paceline inspect --plan` prints: what loading a model on this machine would put where. */
import { type LoadPlan, planLoad } from '../engine/load-plan.js';
import { planParts } from '../models/memory-plan.js';
import { deviceOptions, type LoadFlags } from './generation-flags.js';
import type { InspectFlags } from './inspect-report.js';
import { resolveModel } from './model-names.js';
import { bold, note, print, printJson } from './output.js';
import { bytes, table } from './table.js';

/** Values of the flags that a plan takes. */
export interface PlanFlags extends Omit<LoadFlags, 'ctx'>, InspectFlags {
  readonly plan?: boolean;
}

/** Runs the command with `--plan`. */
export async function planCommand(model: string, flags: PlanFlags): Promise<void> {
  const { path, drafters } = await resolveModel(model, { touch: false });
  const { ctx, kv, draftModel = drafters.length > 0 ? drafters : undefined, draftWindow } = flags;
  const plan = await planLoad(path, {
    ...deviceOptions(flags),
    ...(ctx === undefined ? {} : { contextLength: ctx }),
    ...(kv === undefined ? {} : { kvType: kv }),
    ...(draftModel === undefined ? {} : { draftModels: draftModel }),
    ...(draftWindow === undefined ? {} : { draftWindow }),
  });
  if (flags.json === true) await printJson(planJson(plan));
  else await printPlan(plan);
}

function planJson({ memory, kvType, device, warnings }: LoadPlan): Record<string, unknown> {
  const { experts, placement, total, available } = memory;
  return {
    fits: total <= available,
    total_bytes: total,
    available_bytes: available,
    context: memory.contextLength,
    kv_type: kvType,
    device: device ?? null,
    host: planParts(memory).map(([what, size]) => ({ what, bytes: size })),
    cards: placement.cards.map(({ card, layers, bytes: size }) => ({
      name: card.name,
      layers,
      bytes: size,
    })),
    experts:
      experts === undefined
        ? null
        : {
            memory_bytes: experts.memory,
            whole_bytes: experts.whole,
            held: experts.held,
            count: experts.count,
          },
    warnings,
  };
}

async function printPlan({ memory, kvType, device, warnings }: LoadPlan): Promise<void> {
  const { experts, placement, total, available } = memory;
  const rows = [
    ...placement.cards.map(({ card, layers, bytes: size }) => [
      card.name,
      `${layers} of ${placement.layerCount} layers`,
      bytes(size),
    ]),
    ...planParts(memory).map(([what, size]) => ['memory', what, bytes(size)]),
  ];
  if (experts !== undefined) {
    const rest = experts.count - experts.held;
    rows.push([
      'file',
      `${rest} of ${experts.count} experts`,
      bytes(experts.whole - experts.memory),
    ]);
  }
  await print(`${bold('Plan')} (a cache of ${kvType})\n`);
  await print(table(rows, ['where', 'what', 'size']));
  const verdict = total <= available ? 'fits into' : 'does not fit into';
  await print(
    `\n${bytes(total)} of memory: ${verdict} the ${bytes(available)} that are available\n`,
  );
  if (device !== undefined) note(`device: ${device}`);
  for (const warning of warnings) note(`warning: ${warning}`);
}
