import { crc32, deflateRawSync } from 'node:zlib';

/** A ZIP file with the one entry `name`, deflated, dated 1980: what accounting programs write as a document. */
export function zipOf(name: string, content: Buffer): Buffer {
  const nameBytes = Buffer.from(name);
  const packed = deflateRawSync(content);
  // the 26 bytes that the local header and the central directory share (PKWARE APPNOTE 4.3.7 and 4.3.12)
  const facts = Buffer.alloc(26);
  facts.writeUInt16LE(20, 0); // version needed
  facts.writeUInt16LE(8, 4); // deflate
  facts.writeUInt16LE(0x21, 8); // 1 January 1980
  facts.writeUInt32LE(crc32(content), 10);
  facts.writeUInt32LE(packed.length, 14);
  facts.writeUInt32LE(content.length, 18);
  facts.writeUInt16LE(nameBytes.length, 22);
  const local = Buffer.concat([Buffer.from('PK\x03\x04'), facts, nameBytes, packed]);
  const madeBy = Buffer.from([20, 0]);
  const noExtras = Buffer.alloc(14); // comment, disk, attributes, offset of the local header: all 0
  const central = Buffer.concat([Buffer.from('PK\x01\x02'), madeBy, facts, noExtras, nameBytes]);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(1, 4); // entries on this disk
  end.writeUInt16LE(1, 6); // entries in all
  end.writeUInt32LE(central.length, 8);
  end.writeUInt32LE(local.length, 12);
  return Buffer.concat([local, central, Buffer.from('PK\x05\x06'), end]);
}
