import { backendContract } from "../backend.contract.ts";
import { alloc } from "./alloc.ts";

backendContract("alloc", {
  backend: alloc,
  config: { type: "alloc" },
  data: () => ({}),
  overhead: { 4: 0, 6: 0 },
});
