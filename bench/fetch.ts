/** Prints what a URL answers: `bun bench/fetch.ts URL`, started in the namespace that the URL belongs to. */
const response = await fetch(process.argv[2] ?? "");
process.stdout.write(await response.text());

export {};
