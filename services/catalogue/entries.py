"""The catalogue: every published set of weights that this project runs.

Sizes, revisions and digests are those that the publishers show beside their files; what they do not show is None here.
Where a digest is published but only a part of the commit's name, the revision is the branch and the digest decides.
Must not know: disks, networks.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from services.catalogue import layouts
from services.catalogue.entry import Entry, Licence, Origin, WeightFile
from services.errors import BadOption

_KB, _MB, _GB = 10**3, 10**6, 10**9

_APACHE = Licence("Apache-2.0", "yes", "The licence allows any use as long as its notices are kept.")
_COGVIDEOX = Licence(
    "CogVideoX License",
    "ask",
    "Research is free; commercial use has to be registered with its authors and has a limit of visits a month.",
)
_CASPER_COGVIDEOX = Licence(
    "Apache-2.0 and CogVideoX License",
    "ask",
    "The file is fine-tuned from CogVideoX-5B, whose licence asks commercial users to register.",
)
_CASPER_WAN = Licence(
    "Apache-2.0 (the project)",
    "ask",
    "The authors' project and the base model are Apache-2.0; of the weights by themselves nothing is said.",
)
_DEPTHCRAFTER = Licence(
    "DepthCrafter licence and Stability AI Community License",
    "no",
    "DepthCrafter's licence allows academic, research and education purposes only.",
)

_AUTHORS = "the table 'Model Weights' of the authors' repository gen-omnimatte/gen-omnimatte-public"
_CASPER = "casper.safetensors"

_COG = Origin("alibaba-pai/CogVideoX-Fun-V1.5-5b-InP", "af20412bce237a2abb3f37fa62d54873b4c111a3")
# Wan's VAE and encoders are those of Wan2.1 itself, which publishes their digests.
_WAN = Origin("Wan-AI/Wan2.1-T2V-1.3B", "3f40b6dc4ca5c02dd23c9db74d9d2ccb82903b86")
_WAN_IMAGE = Origin("Wan-AI/Wan2.1-I2V-14B-720P", "1457bb80f939672e3fff40a64d24a33196feca87")
_WAN_SMALL = Origin("alibaba-pai/Wan2.1-Fun-1.3B-InP")
_WAN_LARGE = Origin("alibaba-pai/Wan2.1-Fun-14B-InP")
_DEPTHCRAFTER_UNET = Origin("tencent/DepthCrafter", "c1a22b53f8abf80cd0b025adf29e637773229eca")
_SVD = Origin("stabilityai/stable-video-diffusion-img2vid-xt", "9696a10a7a4d2782ae09239106569dce67310a70")
_DEPTH_SMALL = Origin("depth-anything/Depth-Anything-V2-Small-hf", "5426e4f0f36572d16453bbda7a8389317b1bef99")
_VIDEO_DEPTH = Origin("depth-anything/Video-Depth-Anything-Small", "a396fdd839642f9bb4d08d54cae9fbf43ca13388")


def _sam(size: str, stem: str, exact: int, sha256: str) -> Entry:
    file = WeightFile(f"{stem}.pt", exact, size=exact, sha256=sha256, origin=Origin(f"facebook/sam2.1-hiera-{size}"))
    return Entry(f"sam2.1-{size}", f"SAM 2.1 {size}", f"sam2: sam2.1-{size}", _APACHE, (file,))


def _wan_parts(base: Origin) -> tuple[WeightFile, ...]:
    """What both sizes share, and the configuration."""
    tokenizer = tuple(
        WeightFile(f"google/umt5-xxl/{name}", None, origin=_WAN)
        for name in ("special_tokens_map.json", "spiece.model", "tokenizer.json", "tokenizer_config.json")
    )
    return (
        WeightFile("config.json", None, origin=base),
        WeightFile(
            "Wan2.1_VAE.pth",
            508 * _MB,
            sha256="38071ab59bd94681c686fa51d75a1968f64e470262043be31f7a094e442fd981",
            origin=_WAN,
        ),
        WeightFile(
            "models_t5_umt5-xxl-enc-bf16.pth",
            11_361_920_418,
            size=11_361_920_418,
            sha256="7cace0da2b446bbbbc57d031ab6cf163a3d59b366da94e5afe36745b746fd81d",
            origin=_WAN,
        ),
        WeightFile(
            "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth",
            4_770 * _MB,
            sha256="628c9998b613391f193eb67ff68da9667d75f492911e4eb3decf23460a158c38",
            origin=_WAN_IMAGE,
        ),
        *tokenizer,
    )


ENTRIES: tuple[Entry, ...] = (
    _sam("tiny", "sam2.1_hiera_tiny", 156_008_466, "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69"),
    _sam(
        "small", "sam2.1_hiera_small", 184_416_285, "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38"
    ),
    _sam(
        "base-plus",
        "sam2.1_hiera_base_plus",
        323_606_802,
        "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5",
    ),
    _sam(
        "large", "sam2.1_hiera_large", 898_083_611, "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318"
    ),
    Entry(
        "edgetam",
        "EdgeTAM",
        "sam2: edgetam",
        _APACHE,
        (
            WeightFile(
                "edgetam.pt",
                56_100 * _KB,
                sha256="ed2d4850b8792c239689b043c47046ec239b6e808a3d9b6ae676c803fd8780df",
                origin=Origin("spaces/facebook/EdgeTAM"),
                remote="checkpoints/edgetam.pt",
            ),
        ),
    ),
    Entry(
        "cogvideox-fun-v1.5-5b-inp",
        "CogVideoX-Fun-V1.5-5b-InP",
        "casper: cogvideox",
        _COGVIDEOX,
        (
            WeightFile("scheduler/scheduler_config.json", 482, origin=_COG),
            WeightFile("text_encoder/config.json", 782, origin=_COG),
            WeightFile("text_encoder/model-00001-of-00002.safetensors", 4_990 * _MB, origin=_COG),
            WeightFile("text_encoder/model-00002-of-00002.safetensors", 4_530 * _MB, origin=_COG),
            WeightFile("text_encoder/model.safetensors.index.json", 19_900, origin=_COG),
            WeightFile("tokenizer/added_tokens.json", 2_590, origin=_COG),
            WeightFile("tokenizer/special_tokens_map.json", 2_540, origin=_COG),
            WeightFile("tokenizer/spiece.model", 792 * _KB, origin=_COG),
            WeightFile("tokenizer/tokenizer_config.json", 20_600, origin=_COG),
            WeightFile("transformer/config.json", 887, origin=_COG),
            WeightFile("vae/config.json", 839, origin=_COG),
            WeightFile("vae/diffusion_pytorch_model.safetensors", 431 * _MB, origin=_COG),
        ),
        note="Without its transformer (11.1 GB): Casper's file holds a whole one.",
    ),
    Entry(
        "casper-cogvideox",
        "Casper for CogVideoX",
        "casper: cogvideox",
        _CASPER_COGVIDEOX,
        (WeightFile(_CASPER, 11_100 * _MB, layout=layouts.cogvideox()),),
        given=_AUTHORS,
    ),
    Entry(
        "wan2.1-fun-1.3b-inp",
        "Wan2.1-Fun-1.3B-InP",
        "casper: wan-1.3b",
        _APACHE,
        _wan_parts(_WAN_SMALL),
        note="Without its transformer (3.1 GB): Casper's file holds a whole one.",
    ),
    Entry(
        "casper-wan-1.3b",
        "Casper for Wan2.1 1.3B",
        "casper: wan-1.3b",
        _CASPER_WAN,
        (WeightFile(_CASPER, None, layout=layouts.wan_small()),),
        given=_AUTHORS,
    ),
    Entry(
        "wan2.1-fun-14b-inp",
        "Wan2.1-Fun-14B-InP",
        "casper: wan-14b",
        _APACHE,
        (
            WeightFile("diffusion_pytorch_model.safetensors", 32_800 * _MB, origin=_WAN_LARGE),
            *_wan_parts(_WAN_LARGE),
        ),
    ),
    Entry(
        "casper-wan-14b",
        "Casper for Wan2.1 14B",
        "casper: wan-14b",
        _CASPER_WAN,
        (WeightFile(_CASPER, None, layout=layouts.wan_large_adapter()),),
        given=_AUTHORS,
        note="A low-rank adapter, merged into Wan2.1-Fun-14B-InP when it is loaded.",
    ),
    Entry(
        "depthcrafter",
        "DepthCrafter",
        "depth: depthcrafter",
        _DEPTHCRAFTER,
        (
            WeightFile("unet/config.json", 891, origin=_DEPTHCRAFTER_UNET, remote="config.json"),
            WeightFile(
                "unet/diffusion_pytorch_model.safetensors",
                3_050 * _MB,
                sha256="48feba12ce91f2ba2e7d3853bfcdd50ad45a4980be227f43f5add28baa451f94",
                origin=_DEPTHCRAFTER_UNET,
                remote="diffusion_pytorch_model.safetensors",
            ),
            WeightFile("feature_extractor/preprocessor_config.json", None, origin=_SVD),
            WeightFile("image_encoder/config.json", 685, origin=_SVD),
            WeightFile("image_encoder/model.fp16.safetensors", 1_260 * _MB, origin=_SVD),
            WeightFile("scheduler/scheduler_config.json", None, origin=_SVD),
            WeightFile("vae/config.json", 607, origin=_SVD),
            WeightFile("vae/diffusion_pytorch_model.fp16.safetensors", 196 * _MB, origin=_SVD),
        ),
        note="The U-Net is DepthCrafter's; VAE, image encoder and schedule are those of Stable Video Diffusion (xt).",
    ),
    Entry(
        "depth-anything-v2-small",
        "Depth-Anything-V2-Small",
        "depth: depth-anything-v2-small",
        _APACHE,
        (
            WeightFile("config.json", 950, origin=_DEPTH_SMALL),
            WeightFile("preprocessor_config.json", 775, origin=_DEPTH_SMALL),
            WeightFile(
                "model.safetensors",
                99_200 * _KB,
                sha256="3152477ce0d8d6978d76b995120de97cb5b928701fd0f817769f59e249a16b70",
                origin=_DEPTH_SMALL,
            ),
        ),
    ),
    Entry(
        "video-depth-anything-small",
        "Video-Depth-Anything-Small",
        "depth: video-depth-anything-small",
        _APACHE,
        (
            WeightFile(
                "video_depth_anything_vits.pth",
                116 * _MB,
                sha256="13379300b739e659f076a59d52e9801bd8d38c541a7e71f73bbca4dcfb013609",
                origin=_VIDEO_DEPTH,
            ),
        ),
    ),
)


def find(name: str, *, among: Iterable[Entry] = ENTRIES) -> Entry:
    """The entry called `name`. Raises BadOption for a name that does not exist; says which comes close."""
    known = {entry.name: entry for entry in among}
    if name in known:
        return known[name]
    close = get_close_matches(name, known, n=1)
    guess = f"did you mean {close[0]!r}?" if close else "see `omnimatte weights list`."
    raise BadOption(f"there are no weights called {name!r}; {guess}")
