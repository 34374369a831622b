"""What people read in the shipped templates, what App mode shows of them, and the files that they name.

The graphs themselves are in `example_workflows/api`.
"""

from dataclasses import dataclass, field

EDITOR = "phd_canvas"


def file_at(repository: str, path: str, directory: str) -> dict[str, str]:
    """A file on Hugging Face, and the folder of ComfyUI's models that it goes into."""
    url = f"https://huggingface.co/{repository}/resolve/main/{path}"
    return {"name": path.rsplit("/", 1)[-1], "url": url, "directory": directory}


# Files that ComfyUI's own templates name too.
CHECKPOINT = file_at(
    "Comfy-Org/stable-diffusion-v1-5-archive", "v1-5-pruned-emaonly-fp16.safetensors", "checkpoints"
)  # fmt: skip
KONTEXT = {
    "2": (
        file_at(
            "Comfy-Org/flux1-kontext-dev_ComfyUI",
            "split_files/diffusion_models/flux1-dev-kontext_fp8_scaled.safetensors",
            "diffusion_models",
        ),
    ),
    "3": (
        file_at("comfyanonymous/flux_text_encoders", "clip_l.safetensors", "text_encoders"),
        file_at("comfyanonymous/flux_text_encoders", "t5xxl_fp8_e4m3fn_scaled.safetensors", "text_encoders"),
    ),
    "4": (file_at("Comfy-Org/Lumina_Image_2.0_Repackaged", "split_files/vae/ae.safetensors", "vae"),),
}
KLEIN_FILES = "Comfy-Org/Flux-2-Klein-4B"
KLEIN = {
    "2": (file_at(KLEIN_FILES, "split_files/diffusion_models/flux-2-klein-4b.safetensors", "diffusion_models"),),
    "3": (file_at(KLEIN_FILES, "split_files/text_encoders/qwen_3_4b.safetensors", "text_encoders"),),
    "4": (file_at(KLEIN_FILES, "split_files/vae/flux2-vae.safetensors", "vae"),),
}
QWEN = {
    "2": (
        file_at(
            "Comfy-Org/Qwen-Image-Edit_ComfyUI",
            "split_files/diffusion_models/qwen_image_edit_2509_fp8_e4m3fn.safetensors",
            "diffusion_models",
        ),
    ),
    "3": (
        file_at(
            "Comfy-Org/Qwen-Image_ComfyUI",
            "split_files/text_encoders/qwen_2.5_vl_7b_fp8_scaled.safetensors",
            "text_encoders",
        ),
    ),
    "4": (file_at("Comfy-Org/Qwen-Image_ComfyUI", "split_files/vae/qwen_image_vae.safetensors", "vae"),),
}


WAN_FILES = "Comfy-Org/Wan_2.1_ComfyUI_repackaged"
WAN = {
    "2": (file_at(WAN_FILES, "split_files/diffusion_models/wan2.1_t2v_1.3B_fp16.safetensors", "diffusion_models"),),
    "3": (file_at(WAN_FILES, "split_files/text_encoders/umt5_xxl_fp8_e4m3fn_scaled.safetensors", "text_encoders"),),
    "4": (file_at(WAN_FILES, "split_files/vae/wan_2.1_vae.safetensors", "vae"),),
}


@dataclass(frozen=True)
class Template:
    """What a template has besides its graph.

    Attributes:
        note: Markdown, shown beside the graph.
        inputs: what App mode shows: a node's id, and one of its widgets.
        models: the files that a node's widgets name, by the node's id, where users may have to download them.
    """

    note: str
    inputs: tuple[tuple[str, str], ...]
    models: dict[str, tuple[dict[str, str], ...]] = field(default_factory=dict)


def insert_subject_inputs(node_id: str) -> tuple[tuple[str, str], ...]:
    return tuple((node_id, name) for name in (EDITOR, "prompt", "quality", "light", "seed"))


# Under the notes of templates with Insert Subject and the demo model.
DEMO_LIGHT = """\
**Light.** `light` is 1.4 here: at dusk the demo model keeps part of the astronaut's own light. It is best at 1.2 on \
average. With your own model start at 1, the default."""

CPU_DEMO = """\
## Insert a subject (CPU demo)

Puts the astronaut into the scene with the rocket, in the light of that scene. Everything it needs comes with the \
pack.

1. Press **Run**. On a CPU it takes a few seconds.
2. Drag the astronaut in **Insert Subject**, or pull a corner to resize her. Run again.

**Your own images.** Replace *Load Demo Images* with two *Load Image* nodes, and describe the finished image in \
`prompt`. The subject needs a mask: right-click its Load Image, *Open in Mask Editor*, paint the subject, and connect \
MASK to `subject_mask`.

**Your own model.** Replace *Load Demo Model* with *Load Checkpoint*, and leave `module` empty: only the demo model \
has a learned module. The demo model is very small: a real one makes better images."""

YOUR_CHECKPOINT = """\
## Insert a subject (your checkpoint)

Puts the astronaut into the scene with the rocket, with your own model.

1. Choose a file in **Load Checkpoint**: any SD 1.5 or SDXL checkpoint. The template names \
`v1-5-pruned-emaonly-fp16.safetensors`; put it into `models/checkpoints`.
2. Press **Run**.
3. Replace *Load Demo Images* with two *Load Image* nodes and a mask of the subject (right-click its Load Image, *Open \
in Mask Editor*, and connect MASK to `subject_mask`). Describe the finished image in `prompt`: the whole scene, with \
the subject and its color.

**Other models.** Flux, SD 3 and others: connect their own loaders to `model`, `clip` and `vae`. With `positive` and \
`negative` connected, `clip` and `prompt` are not needed.

**Turbo, lightning and LCM checkpoints:** set `cfg` to 1, among the advanced inputs.

If the subject changes too much or disappears, name it in the prompt. If the light hardly changes, raise `light`."""

CUT_OUT = """\
## A cut-out PNG

The subject has a transparent background, so it needs no mask: its alpha is the mask.

1. Press **Run**.
2. Drag the astronaut in **Insert Subject**, and run again.

**Your own PNG.** Load Image removes the transparency from its IMAGE and returns it as MASK, where 1 is \
transparent. So connect IMAGE to `subject`, and MASK through **Invert Mask** to `subject_mask`. Connect another *Load \
Image* to `background`, and describe the finished image in `prompt`.

A cut-out has no surroundings to compare its light with. If you have the photograph that it was cut from, use that \
with a mask: the light is estimated better."""

TWO_SUBJECTS = """\
## Two subjects

`paste` connects one **Paste & Blend** to the next: the second subject stands in front of the first one. Both \
are inpainted and harmonized in one run.

1. Press **Run**.
2. Drag either astronaut in her own **Paste & Blend**, and run again.

**Your own images.** Replace *Load Demo Images* with *Load Image* nodes and a mask of each subject (right-click Load \
Image, *Open in Mask Editor*), and describe the finished image in **Prompt**.

**More subjects.** Copy the second Paste & Blend, and connect the `paste` of the previous one to it. Connect the \
`paste` of the last one to **Crop Around Subject**.

**Your own model.** Replace *Load Demo Model* with *Load Checkpoint*. Add **Model Settings**, connect the model to it, \
and drag each of its outputs onto the widgets of that name."""

ANOTHER_SCENE = """\
## Another scene for a subject

The subject stays, and everything else is drawn from the prompt. `ring` in **Paste & Blend** is as wide as the \
image, so that everything around the subject is inpainted.

1. Press **Run**. The astronaut is now in space.
2. Write another scene into **Prompt**. The demo model knows only a few: try *a rocket on a launch pad at dusk, \
dark blue sky*.

**Your own subject.** Replace *Load Demo Images* with *Load Image* and a mask of the subject.

**A background to start from.** Connect your image in place of *Empty background*, and set `denoise` in **Masked \
Inpaint Sampler** to about 0.8: the layout stays, and the look changes.

**Your own model.** Replace *Load Demo Model*, set `preset` to balanced in both samplers, and name the subject in the \
prompt too (the demo model would draw it a second time). The other values suit the demo model: add **Model Settings**, \
connect the model to it, and drag each of its outputs onto the widgets of that name."""

INPAINT = """\
## Inpaint or extend any image

No subject and no paste: **Crop Around Subject** takes an image, the sampler works in its window, and **Stitch** puts \
the window back. Here the image gets 96 new pixels on the left and on the right. All old pixels stay as they were.

1. Press **Run**.
2. Change `extend_left`, `extend_right`, `extend_top` or `extend_bottom`, among the advanced inputs of **Crop Around \
Subject**. Run again.

**Inpaint.** Replace *Load Demo Images* with *Load Image*. Right-click it, *Open in Mask Editor*, paint what \
should change, and connect MASK to `mask`. Set all `extend` widgets to 0. To grow or feather the mask, put **Edit \
Mask** in between. Describe the whole image in **Prompt: the whole image**.

**Your own model.** Replace *Load Demo Model* with *Load Checkpoint*. In **Masked Inpaint Sampler** set `cfg` to 4 and \
`scheduler` to simple; 2 and beta suit the demo model. Any other sampler, such as KSampler, can replace this one: \
the latent brings its mask along. For a model or a service that takes images, connect `cropped_image` and \
`cropped_inpaint_mask` to it, and what it returns to `sampled` of **Stitch**.

**A fixed size.** Set `size_mode` to exact, and `width` and `height` to the size that the model needs."""

EDIT_MODEL = """\
## Finish an edit model ({name})

**{name}** relights the pasted subject by instruction. What it returns may be moved, cropped or tinted, and every \
pixel differs a little. **Stitch** puts it back in place, applies its light to the subject's own pixels, and keeps \
the shadow that it painted. All other pixels stay as they were, bit for bit.

1. Download the files that the loaders name: {files}. {hint}
2. Press **Run**.
3. Replace *Load Demo Images* with two *Load Image* nodes and a mask of the subject, and describe the light of the \
scene in **Prompt**.

**Any other model.** Connect it between `composite` of **Paste & Blend** and `sampled` of **Stitch**: IC-Light, or a \
service that returns a PNG. The image may come back in any size.

**It changed too much.** Set `keep_changes` to *inside the mask* to leave out what it painted elsewhere. If it gave \
the subject another pose, Stitch shows a message and takes the model's subject; to keep yours, set `subject_pixels` \
to *own*."""

RETURNED = """\
## Finish a returned image (IC-Light, a service)

For any model or program that takes an image and returns one: IC-Light, LBM, Klein, an online editor. What it returns \
may be moved, cropped or tinted, and every pixel differs a little. **Stitch** puts it back in place, applies its light \
to the subject's own pixels, and leaves all other pixels as they were, bit for bit. No model is needed here.

1. Press **Run**. `returned` of *Load Demo Images* is an example of what a model may return.
2. Replace *Load Demo Images* with *Load Image* nodes for your background and subject, and a mask of the subject. Run, \
and save the image of **Send this to your model** (right-click).
3. Relight the image there. Ask only for light and shadow.
4. Load what came back with *Load Image*, and connect it to `sampled`. Run again. The image may have any size.

**In one graph.** If your model has nodes in ComfyUI, connect `composite` of **Paste & Blend** to them, and their \
image to `sampled`. An image of the subject alone, on gray or on a new background, works too: only its light is used."""

STEP_BY_STEP = """\
## Step by step (all nodes)

What **Insert Subject** does in one node. From left to right:

1. **Segment** finds the subject. Here it starts from a rough mask.
2. **Paste & Blend** places it. Drag it in the editor.
3. **Crop Around Subject** cuts the window that the model works in.
4. **Masked Inpaint Sampler** redraws the ring around the subject.
5. **Harmonize Sampler** gives subject and ring the light of the scene.
6. **Stitch & Relight** puts the result back. All other pixels stay as they were. Its `relight_strength` is 1 here, \
the default; the demo model is best at 1.2 on average.

Press **Run**, or select a node and press *Run to this node* to see one step.

**Your own images.** Replace *Load Demo Images* with two *Load Image* nodes, and disconnect `rough_mask`. Click on the \
subject in **Segment**, or draw a box around it. Describe the finished image in **Prompt**: the whole scene, with the \
subject and its color.

**Your own model.** Replace *Load Demo Model* with *Load Checkpoint*. Add **Model Settings**, connect the model to it, \
and drag each of its outputs onto the widgets of that name."""


CLIP = """\
## Subject through a clip

Keyframes move the astronaut through a clip, and **Wan 2.1** draws her surroundings and the clip's light on her. \
**Crop Around Subject** gives each frame its own window, so that she stays large, and **Stitch** puts each frame \
back. All other pixels stay as they were, bit for bit.

1. Download the files that the loaders name: {files}.
2. Press **Run**.
3. Replace *Background*, which repeats one image 17 times, with *Load Video* and *Get Video Components*, and *Demo \
scene and subject* with *Load Image* and a mask of your subject. *Create Video* and *Save Video* make a file of \
the result. Describe the scene with the subject in **Prompt**.
4. In **Paste & Blend**, go through the clip with the slider below the image. ◆ sets a keyframe; from then on, drag \
the subject in any frame. The keyframes are stored as text in `keyframes`, among the advanced inputs.

**Follow something.** Connect masks or boxes of the clip's frames, such as those of a tracker, to `track`.

**Lengths.** Wan takes 1, 5, 9 … frames. If a clip has another length, its last frames are left out, and Crop Around \
Subject shows how many. The 1.3B model of Wan works at 480p: `side` is 640."""

TURNTABLE = """\
## Product turntable into a scene

The subject is a clip, such as a product on a turntable. The whole clip is pasted into a still scene, and two \
keyframes bring the subject closer. **Wan 2.1** draws its surroundings and the scene's light on it. The scene's \
other pixels stay as they were.

1. Download the files that the loaders name: {files}.
2. Press **Run**.
3. Replace *Subject*, which repeats one image 17 times, with *Load Video* and *Get Video Components*, and \
`subject_mask` with a mask for each of its frames, from **Segment** or a tracker. Replace `background` with your \
scene, and describe it with the subject in **Prompt**.

The keyframes move the subject's clip as a whole; its motion inside its own frames is kept. The background may be a \
longer clip too; the subject's last frame is then repeated."""


def edit_model_note(name: str, models: dict[str, tuple[dict[str, str], ...]], hint: str) -> str:
    files = ", ".join(f"`{file['name']}`" for files in models.values() for file in files)
    return EDIT_MODEL.format(name=name, files=files, hint=hint)


def clip_note(note: str) -> str:
    return note.format(files=", ".join(f"`{file['name']}`" for files in WAN.values() for file in files))


TEMPLATES = {
    "A cut-out PNG": Template(f"{CUT_OUT}\n\n{DEMO_LIGHT}", insert_subject_inputs("3")),
    "Another scene for a subject": Template(
        ANOTHER_SCENE, (("4", EDITOR), ("6", "text"), ("8", "denoise"), ("8", "seed"))
    ),
    "Finish an edit model (FLUX Kontext)": Template(
        edit_model_note("FLUX Kontext", KONTEXT, "They need about 12 GB of GPU memory."),
        (("5", EDITOR), ("8", "text"), ("12", "seed"), ("14", "keep_changes"), ("14", "relight_strength")),
        KONTEXT,
    ),
    "Finish an edit model (FLUX.2 Klein)": Template(
        edit_model_note("FLUX.2 Klein", KLEIN, "Needs ComfyUI 0.9 or later, and about 12 GB of GPU memory."),
        (("5", EDITOR), ("8", "text"), ("11", "seed"), ("13", "keep_changes"), ("13", "relight_strength")),
        KLEIN,
    ),
    "Finish an edit model (Qwen-Image-Edit)": Template(
        edit_model_note("Qwen-Image-Edit", QWEN, "They need about 20 GB of GPU memory, or more time with less."),
        (("5", EDITOR), ("8", "prompt"), ("12", "seed"), ("14", "keep_changes"), ("14", "relight_strength")),
        QWEN,
    ),
    "Finish a returned image (IC-Light, a service)": Template(
        RETURNED, (("2", EDITOR), ("4", "keep_changes"), ("4", "subject_pixels"), ("4", "relight_strength"))
    ),
    "Inpaint or extend any image": Template(
        INPAINT, (("3", "extend_left"), ("3", "extend_right"), ("4", "text"), ("6", "preset"), ("6", "seed"))
    ),
    "Insert a subject (CPU demo)": Template(f"{CPU_DEMO}\n\n{DEMO_LIGHT}", insert_subject_inputs("3")),
    "Insert a subject (your checkpoint)": Template(
        YOUR_CHECKPOINT, (("2", "ckpt_name"), *insert_subject_inputs("3")), {"2": (CHECKPOINT,)}
    ),
    "Product turntable into a scene": Template(
        clip_note(TURNTABLE),
        (("6", EDITOR), ("6", "keyframes"), ("8", "text"), ("10", "seed"), ("12", "relight_strength")),
        WAN,
    ),
    "Step by step (all nodes)": Template(
        STEP_BY_STEP, (("4", EDITOR), ("7", "text"), ("9", "preset"), ("10", "preset"), ("11", "relight_strength"))
    ),
    "Subject through a clip": Template(
        clip_note(CLIP),
        (("6", EDITOR), ("6", "keyframes"), ("8", "text"), ("10", "seed"), ("12", "relight_strength")),
        WAN,
    ),
    "Two subjects": Template(
        TWO_SUBJECTS, (("3", EDITOR), ("4", EDITOR), ("6", "text"), ("8", "preset"), ("10", "relight_strength"))
    ),
}


# Loaders of files that tests do not have, and which output of Load Demo Model stands in for each of theirs.
LOADERS = {
    "CheckpointLoaderSimple": (0, 1, 2),
    "UNETLoader": (0,),
    "CLIPLoader": (1,),
    "DualCLIPLoader": (1,),
    "VAELoader": (2,),
}
# The demo model draws this many frames of a clip, each by itself.
STAND_IN_FRAMES, STAND_IN_SIDE = 5, 256
# The demo model is not an edit model: from pure noise it would draw another image.
STAND_IN_DENOISE = 0.2


def with_demo_model(api: dict) -> dict:
    """An API-format workflow with Load Demo Model in the place of loaders of files that tests do not have.

    Where an edit model is meant, only part of the noise is added, and the image is small. Clips are short.
    """
    stand_in = {"class_type": "PhDLoadDemoModel", "inputs": {"prediction": "flow"}}
    outputs = {node_id: LOADERS[node["class_type"]] for node_id, node in api.items() if node["class_type"] in LOADERS}

    def linked(value):
        is_link = isinstance(value, list) and value[0] in outputs
        return [value[0], outputs[value[0]][value[1]]] if is_link else value

    changed = {}
    for node_id, node in api.items():
        inputs = {name: linked(value) for name, value in node["inputs"].items()}
        if node["class_type"] == "KSampler":
            inputs["denoise"] = min(inputs["denoise"], STAND_IN_DENOISE)
        if node["class_type"] == "ImageScaleToTotalPixels":
            inputs["megapixels"] = 0.25
        if node["class_type"] == "RepeatImageBatch":
            inputs["amount"] = min(inputs["amount"], STAND_IN_FRAMES)
        if outputs and node["class_type"] == "PhDCrop":
            inputs["side"] = min(inputs["side"], STAND_IN_SIDE)
        changed[node_id] = node | (stand_in if node_id in outputs else {"inputs": inputs})
    return changed
