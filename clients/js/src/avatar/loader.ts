import type { Object3D } from "three";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { MeshoptDecoder } from "three/addons/libs/meshopt_decoder.module.js";
import { BuiltinModel, builtinMeta } from "./builtin";
import type { Model } from "./model";
import { OwnModel } from "./own";

/**
 * Fetches a GLB and makes a head of it.
 *
 * Throws an Error that says what is wrong with the file; an aborted `signal` throws its reason.
 */
export async function loadModel(url: string, signal?: AbortSignal): Promise<Model> {
  const response = await fetch(url, { signal: signal ?? null }).catch((error: unknown) => {
    signal?.throwIfAborted();
    throw new Error(`The avatar ${url} could not be fetched: ${message(error)}`);
  });
  if (!response.ok) throw new Error(`The avatar ${url} could not be fetched: the server answered ${response.status}.`);
  const scene = await parse(await response.arrayBuffer(), url);
  signal?.throwIfAborted();
  const meta = builtinMeta(scene);
  return meta ? new BuiltinModel(scene, meta) : new OwnModel(scene);
}

async function parse(data: ArrayBuffer, url: string): Promise<Object3D> {
  const loader = new GLTFLoader().setMeshoptDecoder(MeshoptDecoder);
  try {
    return (await loader.parseAsync(data, "")).scene;
  } catch (error) {
    throw new Error(`The avatar ${url} is not a GLB file that can be shown: ${message(error)}`);
  }
}

const message = (error: unknown) => (error instanceof Error ? error.message : String(error));
