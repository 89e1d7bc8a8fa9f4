import { argon2idAsync } from '@noble/hashes/argon2.js';

// argon2 is Argon2id at the price of Hash(Password): see docs/protocol.md, section 2.
export const argon2 = (text, salt) => argon2idAsync(text, salt, { t: 5, m: 7168, p: 1, dkLen: 32, version: 0x13, asyncTick: 20 });
