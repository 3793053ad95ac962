// Reads {"values": [...], "encoding": [...], "multi": [...], "dump": {...} | null} and answers with what @openzeppelin/merkle-tree makes of it.
import { readFileSync } from "node:fs";
import { StandardMerkleTree } from "@openzeppelin/merkle-tree";

const { values, encoding, multi, dump } = JSON.parse(readFileSync(0, "utf8"));
const tree = StandardMerkleTree.of(values, encoding);
const several = tree.getMultiProof(multi);
const answer = {
  root: tree.root,
  dump: tree.dump(),
  proofs: values.map((_, i) => tree.getProof(i)),
  multi: { leaves: several.leaves.map((value) => tree.leafHash(value)), proof: several.proof, proofFlags: several.proofFlags },
};
if (dump) {
  const loaded = StandardMerkleTree.load(dump);
  loaded.validate();
  answer.loaded = { root: loaded.root, verified: values.every((value, i) => loaded.verify(value, loaded.getProof(i))) };
}
process.stdout.write(JSON.stringify(answer));
