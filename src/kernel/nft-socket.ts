import { TwillError } from "../base/errors.ts";
import type {
  NftChain,
  NftElement,
  NftFamily,
  NftRule,
  NftSet,
  NftSetName,
  NftTable,
  NftTableContent,
} from "../objects/nft.ts";
import type { Acknowledgement } from "../wire/netlink/acknowledgement.ts";
import { HEADER_LENGTH, type NetlinkRequest, NLM_F_ACK } from "../wire/netlink/message.ts";
import { decodeChain, getChains } from "../wire/nft/chain.ts";
import { decodeElements, getElements } from "../wire/nft/element.ts";
import { readHeader } from "../wire/nft/header.ts";
import { batchBegin, batchEnd, decodeGeneration, getGeneration } from "../wire/nft/message.ts";
import { decodeRule, getRules } from "../wire/nft/rule.ts";
import { decodeSet, getSets } from "../wire/nft/set.ts";
import { decodeTable, getTables } from "../wire/nft/table.ts";
import { EMSGSIZE, ENOENT } from "./errno.ts";
import { acknowledgementError, NETLINK_NETFILTER, NetlinkSocket } from "./netlink-socket.ts";
import type { Nft, NftCounters, NftOperation, RuleFilter, TransactionOptions } from "./nft.ts";
import { describeNftOperation, encodeNftOperation, nftRefusal } from "./nft-operation.ts";

/** The kernel's own errno (include/linux/errno.h), never meant for user space but sent all the same: generation is stale. */
const ERESTART = 85;
/** A batch is one send, and a send is bound by the buffer: 100,000 elements with verdicts and comments fit into this. */
const wantedBuffer = 64 * 1024 * 1024;
/** What the kernel accounts for besides the bytes (netlink_sendmsg: sk_sndbuf - 32). */
const sendOverhead = 32;
const readAttempts = 16;

/** A transaction's messages, and whose they are. */
interface Batch {
  readonly messages: NetlinkRequest[];
  readonly owners: (NftOperation | undefined)[];
}

/**
 * nf_tables of the calling thread's namespace, or of the one that `netns` (descriptor) shows; the socket stays there. Needs
 * CAP_NET_ADMIN in the namespace's user namespace. @throws TwillError.
 */
export function openNft(options: { readonly netns?: number; readonly sendBuffer?: number } = {}): Nft {
  return new NftSocket(
    NetlinkSocket.open(NETLINK_NETFILTER, { sendBuffer: wantedBuffer, ...options, name: "nf_tables" }),
  );
}

class NftSocket implements Nft {
  readonly port: number;
  readonly #socket: NetlinkSocket;
  readonly #writes: Record<string, number> = {};
  #transactions = 0;
  #failures = 0;
  #dumps = 0;
  #retriedDumps = 0;

  constructor(socket: NetlinkSocket) {
    this.#socket = socket;
    this.port = socket.port;
  }

  get counters(): NftCounters {
    return {
      writes: { ...this.#writes },
      transactions: this.#transactions,
      failures: this.#failures,
      dumps: this.#dumps,
      retriedDumps: this.#retriedDumps + this.#socket.interruptedDumps,
    };
  }

  transaction(operations: readonly NftOperation[], options: TransactionOptions = {}): void {
    if (operations.length === 0) return;
    let id = 0;
    const encoded = operations.map((operation) => ({ operation, messages: encodeNftOperation(operation, ++id) }));
    for (const batch of this.#batches(encoded, options)) this.#commit(batch);
    for (const { op } of operations) this.#writes[op] = (this.#writes[op] ?? 0) + 1;
  }

  /** One batch, or as many as are needed when the operations may be separated. */
  #batches(
    encoded: readonly { readonly operation: NftOperation; readonly messages: readonly NetlinkRequest[] }[],
    options: TransactionOptions,
  ): Batch[] {
    const limit = this.#socket.maximumSend - sendOverhead;
    const batches: Batch[] = [];
    let bytes = 0;
    let current: Batch | undefined;
    for (const { operation, messages } of encoded) {
      for (const message of messages) {
        const size = sizeOf(message);
        if (current === undefined || (options.separable === true && bytes + size + envelope > limit)) {
          // Behind our own first transaction the generation is another, and no longer told apart from a stranger's.
          current = {
            messages: [batchBegin(batches.length === 0 ? options.generation : undefined)],
            owners: [undefined],
          };
          batches.push(current);
          bytes = 0;
        }
        current.messages.push(message);
        current.owners.push(operation);
        bytes += size;
      }
    }
    if (bytes + envelope > limit) throw tooLarge(bytes + envelope, limit);
    return batches;
  }

  #commit({ messages, owners }: Batch): void {
    this.#transactions++;
    // Asking for more acknowledgements than needed would fill the receive buffer (ENOBUFS) though the transaction took
    // effect. The END is acknowledged since kernel 6.10; before, the last message's acknowledgement, which the kernel
    // sends after the commit, has to do.
    const last = messages.pop();
    if (last === undefined) return;
    messages.push({ ...last, flags: last.flags | NLM_F_ACK }, batchEnd(NLM_F_ACK));
    const results = this.#socket.request(messages, { batch: true });
    // When one message fails, the kernel goes on and reports what fails behind it too: the first is the cause.
    const failed = results.findIndex(({ error }) => error !== undefined);
    const acknowledgement = results[failed]?.error;
    if (acknowledgement !== undefined) {
      this.#failures++;
      throw refusal(acknowledgement, owners[failed], results.filter(({ error }) => error !== undefined).length);
    }
    if (results.at(-1)?.acknowledged === true || results.at(-2)?.acknowledged === true) return;
    this.#failures++;
    throw new TwillError("unavailable", "the kernel did not acknowledge the transaction", {
      operation: "change nf_tables",
      remedy: "read the ruleset again: the change may or may not have been made",
    });
  }

  tables(family?: NftFamily): NftTable[] {
    return this.#dump(getTables(family)).map(decodeTable);
  }

  chains(family?: NftFamily): NftChain[] {
    return this.#dump(getChains(family)).map(decodeChain);
  }

  rules(filter: RuleFilter = {}): NftRule[] {
    const { family, table, chain } = filter;
    return this.#dump(getRules(family, table, chain))
      .map(decodeRule)
      .filter((rule) => (table ?? rule.table) === rule.table && (chain ?? rule.chain) === rule.chain);
  }

  sets(family?: NftFamily, table?: string): NftSet[] {
    return this.#dump(getSets(family, table)).map(decodeSet);
  }

  elements(set: NftSetName): NftElement[] {
    return this.#dump(getElements(set)).flatMap((payload) => decodeElements(payload).elements);
  }

  read(family: NftFamily, name: string): NftTableContent | undefined {
    for (let attempt = 0; attempt < readAttempts; attempt++) {
      const before = this.generation();
      try {
        const content = this.#readOnce(family, name);
        if (this.generation() === before) return content;
      } catch (error) {
        // Between two of the dumps somebody took the table away.
        if (!(error instanceof TwillError) || error.errno !== ENOENT || this.generation() === before) throw error;
      }
      this.#retriedDumps++;
    }
    throw restless(`table ${family} ${name}`);
  }

  #readOnce(family: NftFamily, name: string): NftTableContent | undefined {
    const table = this.tables(family).find((other) => other.name === name);
    if (table === undefined) return undefined;
    return {
      table,
      chains: this.chains(family).filter((chain) => chain.table === name),
      rules: this.rules({ family, table: name }),
      sets: this.sets(family, name).map((set) => ({
        set,
        elements: this.elements({ family, table: name, set: set.name }),
      })),
    };
  }

  generation(): number {
    const request = getGeneration();
    const [result] = this.#socket.request([{ ...request, flags: request.flags | NLM_F_ACK }]);
    const reply = result?.replies[0];
    const generation = reply === undefined ? undefined : decodeGeneration(reply.payload);
    if (generation !== undefined) return generation;
    if (result?.error !== undefined)
      throw acknowledgementError(result.error, { operation: "read nf_tables generation" });
    throw new TwillError("corrupt", "the kernel named no generation", { operation: "read nf_tables generation" });
  }

  /**
   * A commit while a dump is being read shows in no flag on some kernels (seen on 6.18), but each message says in which
   * generation it was made.
   */
  #dump(request: NetlinkRequest): Uint8Array[] {
    for (let attempt = 0; attempt < readAttempts; attempt++) {
      this.#dumps++;
      const payloads = this.#socket.dump(request);
      const generation = payloads[0] === undefined ? 0 : readHeader(payloads[0]).resource;
      if (payloads.every((payload) => readHeader(payload).resource === generation)) return payloads;
      this.#retriedDumps++;
    }
    throw restless("nf_tables");
  }

  close(): void {
    this.#socket.close();
  }
}

const sizeOf = (message: NetlinkRequest): number => HEADER_LENGTH + ((message.payload.length + 3) & ~3);
/** BEGIN with its generation, and END. */
const envelope = 64;

function refusal(acknowledgement: Acknowledgement, operation: NftOperation | undefined, failures: number): TwillError {
  if (acknowledgement.errno === ERESTART) {
    return new TwillError("conflict", "somebody else changed nf_tables meanwhile", {
      operation: "change nf_tables",
      remedy: "read the ruleset again and repeat",
      errno: ERESTART,
    });
  }
  if (operation === undefined) return acknowledgementError(acknowledgement, { operation: "change nf_tables" });
  const what = describeNftOperation(operation);
  const meaning = nftRefusal(operation, acknowledgement.errno);
  const { code, message } = acknowledgementError(acknowledgement, what);
  const others = failures > 1 ? ` (the first of ${failures} refusals, in a transaction of which nothing was done)` : "";
  return new TwillError(code, `${meaning?.message ?? message}${others}`, {
    ...what,
    ...(meaning === undefined ? {} : { remedy: meaning.remedy }),
    errno: acknowledgement.errno,
  });
}

const tooLarge = (bytes: number, limit: number): TwillError =>
  new TwillError("exhausted", `a transaction of ${bytes} bytes does not fit into one send of ${limit}`, {
    operation: "change nf_tables",
    errno: EMSGSIZE,
    remedy: "run the agent with CAP_NET_ADMIN in the machine's own user namespace, or raise net.core.wmem_max",
  });

const restless = (object: string): TwillError =>
  new TwillError("unavailable", `it changed during each of ${readAttempts} reads`, {
    operation: "read",
    object,
    remedy: "try again when the node is less busy",
  });
