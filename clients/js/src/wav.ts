/** A RIFF/WAVE file of PCM16 mono samples. */
export function wav(samples: Int16Array, rate: number): Blob {
  const header = new DataView(new ArrayBuffer(44));
  const tag = (offset: number, text: string) => {
    for (let i = 0; i < 4; i++) header.setUint8(offset + i, text.charCodeAt(i));
  };
  const bytes = samples.byteLength;
  tag(0, "RIFF");
  header.setUint32(4, 36 + bytes, true);
  tag(8, "WAVE");
  tag(12, "fmt ");
  header.setUint32(16, 16, true);
  header.setUint16(20, 1, true);
  header.setUint16(22, 1, true);
  header.setUint32(24, rate, true);
  header.setUint32(28, rate * 2, true);
  header.setUint16(32, 2, true);
  header.setUint16(34, 16, true);
  tag(36, "data");
  header.setUint32(40, bytes, true);
  return new Blob([header.buffer, samples.slice().buffer], { type: "audio/wav" });
}
