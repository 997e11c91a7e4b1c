"use strict";
(() => {
  const { cases, label_step: labelStep } = JSON.parse(document.getElementById("data").textContent);
  const control = (id) => document.getElementById(id);
  const outlineColours = [null, [213, 94, 0], [86, 180, 233], [240, 228, 66]]; // necrotic, oedema, enhancing
  const unpacked = new Map();

  // A sprite is every slice side by side; unpack it once into one byte per voxel.
  const unpack = (uri, item) => {
    if (!unpacked.has(uri)) {
      unpacked.set(uri, new Promise((resolve, reject) => {
        const image = new Image();
        image.onerror = () => reject(new Error("a sprite could not be read"));
        image.onload = () => {
          const canvas = document.createElement("canvas");
          canvas.width = image.width;
          canvas.height = image.height;
          const context = canvas.getContext("2d", { willReadFrequently: true });
          context.drawImage(image, 0, 0);
          const pixels = context.getImageData(0, 0, image.width, image.height).data;
          const { slices, height, width, columns } = item;
          const volume = new Uint8Array(slices * height * width);
          for (let z = 0, at = 0; z < slices; z++) {
            const top = Math.floor(z / columns) * height, left = (z % columns) * width;
            for (let y = 0; y < height; y++)
              for (let x = 0; x < width; x++) volume[at++] = pixels[4 * ((top + y) * image.width + left + x)];
          }
          resolve(volume);
        };
        image.src = uri;
      }));
    }
    return unpacked.get(uri);
  };

  const heat = (value) => [Math.min(255, value * 3), Math.max(0, Math.min(255, value * 3 - 255)), Math.max(0, value * 3 - 510)];

  const paint = (id, item, z, colour, labels) => {
    const { height, width } = item, canvas = control(id);
    canvas.width = width;
    canvas.height = height;
    const picture = new ImageData(width, height), offset = z * height * width;
    for (let at = 0; at < height * width; at++) {
      const rgb = edge(labels, offset, at, width, height) || colour(offset + at);
      picture.data.set([...rgb, 255], 4 * at);
    }
    canvas.getContext("2d").putImageData(picture, 0, 0);
  };

  // The colour of a label's outline: a pixel with a neighbour of another label.
  const edge = (labels, offset, at, width, height) => {
    if (!labels) return null;
    const label = labels[offset + at], x = at % width, y = Math.floor(at / width);
    if (!label) return null;
    const differs = (x > 0 && labels[offset + at - 1] !== label) || (x < width - 1 && labels[offset + at + 1] !== label) ||
      (y > 0 && labels[offset + at - width] !== label) || (y < height - 1 && labels[offset + at + width] !== label);
    return differs ? outlineColours[Math.round(label / labelStep)] : null;
  };

  const chosen = () => {
    const item = cases[Number(control("case").value)], target = control("target").value;
    return { item, target, made: item.synthetic[target] };
  };

  const overlayUri = (item, made) =>
    ({ none: null, truth: item.truth, real: item.real_labels, synthetic: made.labels })[control("overlay").value];

  const draw = async () => {
    const { item, target, made } = chosen(), z = Number(control("slice").value), overlay = overlayUri(item, made);
    const [source, synthetic, real, labels] = await Promise.all(
      [item.real[made.source], made.image, item.real[target], overlay].map((uri) => uri && unpack(uri, item)));
    const grey = (volume) => (at) => [volume[at], volume[at], volume[at]];
    control("caption-source").textContent = `source: ${made.sources}`;
    control("slice-number").textContent = `${z + 1} of ${item.slices}`;
    paint("panel-source", item, z, grey(source), labels);
    paint("panel-synthetic", item, z, grey(synthetic), labels);
    paint("panel-real", item, z, grey(real), labels);
    if (!viewer) drawPoster(item, synthetic, z);
    paint("panel-error", item, z, (at) => heat(Math.abs(synthetic[at] - real[at])), null);
    document.body.dataset.drawn = `${item.id}/${target}/${z}`;
  };

  const openCase = () => {
    const { item } = chosen(), slider = control("slice");
    slider.max = item.slices - 1;
    slider.value = item.start;
    draw();
  };

  // A NIfTI-1 file of one byte per voxel, LPS voxel order, for the viewer.
  const nifti = (volume, item) => {
    const [sx, sy, sz] = item.pixel_mm, header = new DataView(new ArrayBuffer(352));
    header.setInt32(0, 348, true);
    [3, item.width, item.height, item.slices, 1, 1, 1, 1].forEach((size, i) => header.setInt16(40 + 2 * i, size, true));
    header.setInt16(70, 2, true);
    header.setInt16(72, 8, true);
    [1, sx, sy, sz].forEach((size, i) => header.setFloat32(76 + 4 * i, size, true));
    header.setFloat32(108, 352, true);
    header.setFloat32(112, 1, true);
    header.setInt16(254, 1, true);
    const rows = [[-sx, 0, 0, sx * item.width / 2], [0, -sy, 0, sy * item.height / 2], [0, 0, sz, -sz * item.slices / 2]];
    rows.flat().forEach((value, i) => header.setFloat32(280 + 4 * i, value, true));
    [0x6e, 0x2b, 0x31, 0].forEach((byte, i) => header.setUint8(344 + i, byte));
    const file = new Uint8Array(352 + volume.length);
    file.set(new Uint8Array(header.buffer));
    file.set(volume, 352);
    return file.buffer;
  };

  // Before the 3-D viewer runs, its place shows the three planes through the middle of the synthetic volume's slice.
  const drawPoster = (item, volume, z) => {
    const { slices, height, width } = item, [sx, sy, sz] = item.pixel_mm, canvas = control("viewer-poster");
    const planes = [
      [width, height, sx, sy, (x, y) => (z * height + y) * width + x],
      [width, slices, sx, sz, (x, y) => ((slices - 1 - y) * height + (height >> 1)) * width + x],
      [height, slices, sy, sz, (x, y) => ((slices - 1 - y) * height + x) * width + (width >> 1)],
    ];
    const scale = 2 / Math.min(sx, sy), gap = 8, context = canvas.getContext("2d");
    canvas.width = gap * 4 + planes.reduce((sum, [columns, , across]) => sum + columns * across * scale, 0);
    canvas.height = 2 * gap + Math.max(...planes.map(([, rows, , down]) => rows * down * scale));
    let left = gap;
    planes.forEach(([columns, rows, across, down, at]) => {
      const picture = new ImageData(columns, rows), part = document.createElement("canvas");
      for (let y = 0; y < rows; y++)
        for (let x = 0; x < columns; x++) picture.data.set([...Array(3).fill(volume[at(x, y)]), 255], 4 * (y * columns + x));
      [part.width, part.height] = [columns, rows];
      part.getContext("2d").putImageData(picture, 0, 0);
      const [wide, high] = [columns * across * scale, rows * down * scale];
      context.drawImage(part, left, (canvas.height - high) / 2, wide, high);
      left += wide + gap;
    });
  };

  let viewer = null;
  const show = async (kind) => {
    const { item, target, made } = chosen(), state = control("viewer-state");
    state.textContent = "loading …";
    try {
      const volume = await unpack(kind === "real" ? item.real[target] : made.image, item);
      if (!viewer) {
        viewer = new globalThis.niivue.Niivue({ backColor: [0, 0, 0, 1], show3Dcrosshair: true, multiplanarShowRender: 1, logLevel: "silent" });
        control("viewer-frame").classList.remove("waiting");
        await viewer.attachToCanvas(control("viewer"));
        viewer.setSliceType(viewer.sliceTypeMultiplanar);
      }
      while (viewer.volumes.length) viewer.removeVolume(viewer.volumes[0]);
      await viewer.loadFromArrayBuffer(nifti(volume, item), `${item.id}_${target}_${kind}.nii`);
      state.textContent = `${item.id}: ${kind} ${target}`;
    } catch (error) {
      viewer = null;
      control("viewer-frame").classList.add("waiting");
      state.textContent = `The 3-D viewer is not available here (${error.message}); the slices above show the same data.`;
    }
  };

  control("case").addEventListener("change", openCase);
  ["target", "overlay"].forEach((id) => control(id).addEventListener("change", draw));
  control("slice").addEventListener("input", draw);
  control("viewer-synthetic").addEventListener("click", () => show("synthetic"));
  control("viewer-real").addEventListener("click", () => show("real"));
  control("viewer-start").addEventListener("click", () => show("synthetic"));
  openCase();
})();
