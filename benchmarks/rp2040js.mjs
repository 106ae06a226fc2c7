// Runs a UF2 file on rp2040js, an emulator of the RP2040 that others wrote, from its second boot stage
// on, and prints what it says by semihosting and by UART0. Ends when the program does.
//
//   npm install rp2040js@1.4.1
//   node benchmarks/rp2040js.mjs selftest.uf2 [most instructions] [trm]
//
// Version 1.4.1 counts PUSH of LR and POP of PC without that register, where Arm's manual (DDI0484C,
// table 3-1) counts every one: with "trm" they take as long as there.
//
// No boot ROM is needed: what it does before, checking a CRC, a test does (tests/firmware/test_board.py).
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const { ConsoleLogger, LogLevel, RP2040 } = createRequire(
  join(process.cwd(), "anything.js"),
)("rp2040js");

const [path, most = "400000000", counting = ""] = process.argv.slice(2);
const FLASH = 0x10000000;
const [SYS_WRITE0, SYS_EXIT, EXITED] = [0x04, 0x18, 0x20026];
const NANOSECONDS_A_CYCLE = 8; // 125 MHz

const mcu = new RP2040();
mcu.logger = new ConsoleLogger(LogLevel.Error, false);
const image = readFileSync(path);
for (let begin = 0; begin < image.length; begin += 512) {
  const block = image.subarray(begin, begin + 512);
  const [address, size] = [block.readUInt32LE(12), block.readUInt32LE(16)];
  mcu.flash.set(block.subarray(32, 32 + size), address - FLASH);
}
mcu.uart[0].onByte = (byte) => process.stdout.write(Buffer.from([byte]));

const { core } = mcu;
let code = null;
mcu.onBreak = (number) => {
  if (number !== 0xab) {
    code = 2;
  } else if (core.registers[0] === SYS_EXIT) {
    code = core.registers[1] >>> 0 === EXITED ? 0 : 1;
  } else if (core.registers[0] === SYS_WRITE0) {
    let text = "";
    for (let at = core.registers[1] >>> 0; mcu.readUint8(at) !== 0; at++) {
      text += String.fromCharCode(mcu.readUint8(at));
    }
    process.stdout.write(text);
  }
};

core.PC = FLASH;
core.LR = 0;
core.SP = 0x20041f00;
const [KIND, PUSH_LR, POP_PC] = [0xff00, 0xb500, 0xbd00];
for (let count = 0; count < Number(most) && code === null; count++) {
  const kind = counting === "trm" ? mcu.readUint16(core.PC & ~1) & KIND : 0;
  const forgotten = kind === PUSH_LR || kind === POP_PC ? 1 : 0;
  mcu.clock.tick((core.executeInstruction() + forgotten) * NANOSECONDS_A_CYCLE);
}
if (code === null) {
  console.error(`no end after ${most} instructions, at 0x${core.PC.toString(16)}`);
  code = 3;
}
process.exitCode = code;
