// Reads {"accounts": [...], "rewards": [...], "fees": [...]} and answers with the root and the milliseconds of StandardMerkleTree.of alone.
import { readFileSync } from "node:fs";
import { StandardMerkleTree } from "@openzeppelin/merkle-tree";

const { accounts, rewards, fees } = JSON.parse(readFileSync(0, "utf8"));
const values = accounts.map((account, i) => [account, BigInt(rewards[i]), BigInt(fees[i])]);
const started = performance.now();
const tree = StandardMerkleTree.of(values, ["address", "uint256", "uint256"]);
const root = tree.root;
const milliseconds = performance.now() - started;
console.log(JSON.stringify({ root, milliseconds, node: process.version }));
