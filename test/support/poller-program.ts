import { createEventfd, signalEventfd } from "../../src/kernel/eventfd.ts";
import { POLLIN } from "../../src/kernel/poll.ts";
import { ThreadPoller } from "../../src/kernel/poller.ts";

/** Run by poller.test.ts, from source and compiled: says "ready" when the poller reports a descriptor, then must end by itself. */
const poller = new ThreadPoller();
const fd = createEventfd();
const alive = setTimeout(() => process.exit(3), 20_000);
const watch = poller.watch(fd, POLLIN, () => {
  watch.close();
  console.log("ready");
  clearTimeout(alive);
});
signalEventfd(fd);
