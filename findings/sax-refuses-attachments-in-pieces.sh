#!/usr/bin/env bash
# sax 1.6.1 and xml2js 0.6.2: FHIR's XML with a discharge letter in it is read whole, and not in pieces.
#
# FHIR's XML has an attachment as one attribute, in base64: <data value="JVBERi0x…"/>. Nothing limits
# how long it may be; the BaRS proxy lets 10 MB through. What one expects of a parser that can be fed
# a stream is that it reads from a stream what it reads in one piece.
#
# Seen: in pieces, an attribute that grows beyond 64 KiB (48 KB of a letter) is an error, "Max buffer
# length exceeded: attribValue"; whole, it may have any length. The same letter as the text of an
# element, as most other formats have it, passes in pieces, too. So the first photograph fails, from
# the network alone, after all tests with short letters and with files have passed. xml2js does so
# with its option `async`. The limit is one number for the whole process (MAX_BUFFER_LENGTH). saxes
# 6.0.0 and Python's expat read all of them.
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm --prefix "$folder" --silent --no-audit --no-fund install 'sax@1.6.1' 'xml2js@0.6.2' 'saxes@6.0.0'
cd "$folder"
cat >letters.js <<'NODE'
const assert = require("assert");
const sax = require("sax");
const { SaxesParser } = require("saxes");
const { Parser } = require("xml2js");

const PIECE = 16 * 1024; // as a socket gives them
const base64 = (bytes) => Buffer.alloc(bytes, "letter").toString("base64");
const asAttribute = (bytes) => `<Attachment><data value="${base64(bytes)}"/></Attachment>`;
const asText = (bytes) => `<Attachment><data>${base64(bytes)}</data></Attachment>`;

function bySax(text, piece) {
  const parser = sax.parser(true);
  let [length, error] = [0, null];
  parser.onerror = (raised) => {
    error ??= raised.message.split("\n")[0];
    parser.error = null;
  };
  parser.onattribute = (attribute) => (length += attribute.value.length);
  parser.ontext = (part) => (length += part.length);
  for (let at = 0; at < text.length; at += piece) parser.write(text.slice(at, at + piece));
  parser.close();
  return error ?? length;
}
function bySaxes(text, piece) {
  const parser = new SaxesParser();
  let length = 0;
  parser.on("attribute", (attribute) => (length += attribute.value.length));
  for (let at = 0; at < text.length; at += piece) parser.write(text.slice(at, at + piece));
  parser.close();
  return length;
}
const byXml2js = (text, options) =>
  new Parser(options).parseStringPromise(text).then(
    (found) => found.Attachment.data[0].$.value.length,
    (error) => error.message.split("\n")[0],
  );

(async () => {
  const [short, long] = [40_000, 3_000_000];
  const seen = {
    "sax, 40 kB, in pieces": bySax(asAttribute(short), PIECE),
    "sax, 3 MB, whole": bySax(asAttribute(long), Infinity),
    "sax, 3 MB, in pieces": bySax(asAttribute(long), PIECE),
    "sax, 3 MB, in pieces, as text": bySax(asText(long), PIECE),
    "xml2js, 3 MB": await byXml2js(asAttribute(long), {}),
    "xml2js, 3 MB, async": await byXml2js(asAttribute(long), { async: true }),
    "saxes, 3 MB, in pieces": bySaxes(asAttribute(long), PIECE),
  };
  for (const [how, found] of Object.entries(seen)) console.log(how.padEnd(31), found);
  const refused = "Max buffer length exceeded: attribValue";
  assert.deepStrictEqual(Object.values(seen), [
    53336, 4_000_000, refused, 4_000_000, 4_000_000, refused, 4_000_000,
  ]);
})();
NODE
node letters.js
python3 - <<'PYTHON'
from xml.parsers import expat

parser = expat.ParserCreate()
found = []
parser.StartElementHandler = lambda name, attributes: found.extend(map(len, attributes.values()))
text = b'<data value="' + b"bGV0" * 1_000_000 + b'"/>'
for at in range(0, len(text), 16384):
    parser.Parse(text[at : at + 16384])
parser.Parse(b"", True)
print("Python's expat, in pieces      ", *found)
assert found == [4_000_000]
PYTHON
