// Plays a face track beside its sound. Put it on the object with the AudioSource, give it the .json of
// `visavis animate speech.wav face.json` (as a TextAsset) and the head's SkinnedMeshRenderers, and press Play.
// Needs the package com.unity.nuget.newtonsoft-json.

using System;
using System.Collections.Generic;
using Newtonsoft.Json;
using UnityEngine;

[RequireComponent(typeof(AudioSource))]
public sealed class VisavisFace : MonoBehaviour
{
    [SerializeField] TextAsset track;
    [SerializeField] SkinnedMeshRenderer[] meshes;

    sealed class Track
    {
        public string format;
        public int version;
        public float fps;
        public string[] names;
        public float[][] frames;
    }

    readonly List<(SkinnedMeshRenderer mesh, int shape, int column)> moves = new();
    Track face;
    AudioSource sound;

    void Start()
    {
        sound = GetComponent<AudioSource>();
        if (track == null || sound.clip == null)
            throw new InvalidOperationException("Give the component a track (.json) and its AudioSource the speech.");
        face = JsonConvert.DeserializeObject<Track>(track.text);
        if (face?.format != "visavis-track" || face.version != 1)
            throw new FormatException($"{track.name} is not a face track, version 1.");
        var columns = new Dictionary<string, int>();
        for (int column = 0; column < face.names.Length; column++)
            columns[Plain(face.names[column])] = column;
        foreach (var mesh in meshes)
            for (int shape = 0; shape < mesh.sharedMesh.blendShapeCount; shape++)
                if (columns.TryGetValue(Plain(mesh.sharedMesh.GetBlendShapeName(shape)), out int column))
                    moves.Add((mesh, shape, column));
        if (moves.Count == 0)
            Debug.LogWarning("None of the meshes has ARKit blendshapes: nothing will move.", this);
        sound.Play();
    }

    // After animations, so that the face is not overwritten. The sound is the clock.
    void LateUpdate()
    {
        if (!sound.isPlaying)
            return;
        float at = Mathf.Max(0, (float)sound.timeSamples / sound.clip.frequency * face.fps - 0.5f);
        int before = Mathf.Min((int)at, face.frames.Length - 1);
        int after = Mathf.Min(before + 1, face.frames.Length - 1);
        foreach (var (mesh, shape, column) in moves)
        {
            float weight = Mathf.Lerp(face.frames[before][column], face.frames[after][column], at - before);
            mesh.SetBlendShapeWeight(shape, 100 * weight);
        }
    }

    // blendShape1.eyeBlink_L -> eyeblinkleft
    static string Plain(string name)
    {
        name = name.Substring(name.LastIndexOf('.') + 1).ToLowerInvariant();
        if (name.EndsWith("_l")) name = name.Substring(0, name.Length - 2) + "left";
        if (name.EndsWith("_r")) name = name.Substring(0, name.Length - 2) + "right";
        return name.Replace("_", "");
    }
}
