/**
 * An image as one tar file that every engine loads: the OCI image layout (opencontainers/image-spec, image-layout.md) for
 * containerd, CRI-O and podman, and in the same blobs the manifest.json that `docker load` reads.
 */
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { type TarEntry, tar } from "./tar.ts";

export interface Image {
  /** With the tag: "localhost/twill:0.1.0". */
  readonly name: string;
  readonly architecture: "amd64" | "arm64";
  readonly entrypoint: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly root: readonly TarEntry[];
}

export interface Archive {
  readonly bytes: Uint8Array;
  /** Of the manifest, "sha256:…": what names this image for good. */
  readonly digest: string;
  /** Bytes of the layer as a node unpacks it, and as it is sent. */
  readonly unpacked: number;
  readonly compressed: number;
}

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

/** The same image gives the same bytes, with the same Bun: gzip's output is zlib's affair. */
export function imageArchive(image: Image): Archive {
  const blobs = new Map<string, Uint8Array>();
  const blob = (mediaType: string, content: Uint8Array): Descriptor => {
    const descriptor = { mediaType, digest: sha256(content), size: content.length };
    blobs.set(descriptor.digest, content);
    return descriptor;
  };

  const root = tar(image.root);
  const compressed = gzipSync(root, { level: 6 });
  const layer = blob("application/vnd.oci.image.layer.v1.tar+gzip", compressed);
  const config = blob(
    "application/vnd.oci.image.config.v1+json",
    json({
      created: epoch,
      architecture: image.architecture,
      os: "linux",
      config: {
        Entrypoint: image.entrypoint,
        Env: ["PATH=/usr/local/bin"],
        WorkingDir: "/",
        Labels: image.labels,
      },
      rootfs: { type: "layers", diff_ids: [sha256(root)] },
      history: [{ created: epoch, created_by: "npm run image" }],
    }),
  );
  const manifest = blob(
    "application/vnd.oci.image.manifest.v1+json",
    json({ schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json", config, layers: [layer] }),
  );
  const index = {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: [
      {
        ...manifest,
        platform: { architecture: image.architecture, os: "linux" },
        // containerd takes the whole name from the first, podman and skopeo from the second.
        annotations: { "io.containerd.image.name": image.name, "org.opencontainers.image.ref.name": image.name },
      },
    ],
  };
  const docker = [{ Config: blobPath(config.digest), RepoTags: [image.name], Layers: [blobPath(layer.digest)] }];
  const files: readonly (readonly [string, Uint8Array])[] = [
    ["oci-layout", json({ imageLayoutVersion: "1.0.0" })],
    ["index.json", json(index)],
    ["manifest.json", json(docker)],
    ...[...blobs].map(([digest, content]) => [blobPath(digest), content] as const),
  ];
  const bytes = tar([
    { type: "directory", path: "blobs", mode: 0o755 },
    { type: "directory", path: "blobs/sha256", mode: 0o755 },
    ...files.map(([path, content]): TarEntry => ({ type: "file", path, mode: 0o644, content })),
  ]);
  return { bytes, digest: manifest.digest, unpacked: root.length, compressed: compressed.length };
}

const epoch = "1970-01-01T00:00:00Z";
const sha256 = (content: Uint8Array): string => `sha256:${createHash("sha256").update(content).digest("hex")}`;
const blobPath = (digest: string): string => `blobs/${digest.replace(":", "/")}`;
const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
