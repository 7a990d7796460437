import { expect, test } from "bun:test";
import { seededRandom } from "../../base/random.ts";
import type { EndpointClaim } from "./claim.ts";
import { endpointMatches } from "./claim.ts";
import { endpointClaim } from "./claims.ts";
import { MatchIndex } from "./match-index.ts";
import { PartyIndex } from "./party-index.ts";
import { Party } from "./population.ts";
import { RandomPolicy } from "./random-model.fixture.ts";
import { yes } from "./truth.ts";

test("through the indexes everything is found that looking at all would find", () => {
  for (let seed = 1; seed <= 100; seed++) {
    const policy = new RandomPolicy(seededRandom(seed));
    const model = policy.model();
    const matches = Array.from({ length: 20 }, () => policy.policy().subject);
    const claims = [...model.endpoints].map(([name, endpoint]): EndpointClaim => endpointClaim(model, name, endpoint));
    const parties = claims.map((claim, index) => new Party(String(index), claim));
    const byMatch = new MatchIndex<number>();
    for (const [index, match] of matches.entries()) byMatch.add(match, index);
    byMatch.delete(matches[3] ?? {}, 3);
    const byParty = new PartyIndex();
    for (const party of parties) byParty.add(party);
    const [gone] = parties;
    if (gone !== undefined) byParty.delete(gone);
    for (const [index, match] of matches.entries()) {
      const matching = parties.filter((party) => party !== gone && endpointMatches(match, party.claim) === yes);
      expect(new Set(byParty.matching(match))).toEqual(new Set(matching));
      for (const { claim } of matching) {
        if ("own" in claim || claim.known === undefined || index === 3) continue;
        expect(byMatch.candidates(claim.namespace, claim.known)).toContain(index);
      }
    }
    for (const claim of claims) {
      if (claim.known !== undefined) expect(byMatch.candidates(claim.namespace, claim.known)).not.toContain(3);
    }
  }
}, 60_000);
