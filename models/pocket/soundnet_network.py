"""SoundNet-8 and what is learnt on top of it: objects that may be in view, and kinds of sounding things.

Conventions:
    waveform: (B, T) float32 at 22,050 Hz, its peak LEVEL: the scale SoundNet was trained at.
    frame: 2,048 samples (93 ms), the stride of SoundNet's fifth layer.
    labels: the K kinds that the heads tell apart.

Reference: Aytar, Vondrick and Torralba, "SoundNet: learning sound representations from unlabeled video", NeurIPS 2016.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.functional import avg_pool1d, dropout, dropout1d, gelu, max_pool1d

SAMPLING_RATE = 22050  # Hz
LEVEL = 102.0  # of 256
FRAMES = 104  # that a head hears: the first 9.7 s of a window
MELS, FFT = 64, 2048
SOUNDNET_CHANNELS, FRAME_CHANNELS = 256 + 128 + 64, 256 + 128 + 64 + 2 * MELS
HEADS = ((0, SOUNDNET_CHANNELS), (0, FRAME_CHANNELS), (SOUNDNET_CHANNELS, FRAME_CHANNELS))
# channels in and out, width of the convolution, its padding, how many positions are pooled after it; all have stride 2
LAYERS = {
    "conv1": (1, 16, 64, 32, 8),
    "conv2": (16, 32, 32, 16, 8),
    "conv3": (32, 64, 16, 8, 1),
    "conv4": (64, 128, 8, 4, 1),
    "conv5": (128, 256, 4, 2, 4),
    "conv6": (256, 512, 4, 2, 1),
    "conv7": (512, 1024, 4, 2, 1),
}


class SoundNet(nn.Module):
    """The network without its head of places; batch norms are folded into the convolutions."""

    def __init__(self, num_names: int = 1000) -> None:
        super().__init__()
        for name, (channels, width, kernel, padding, _) in LAYERS.items():
            self.add_module(name, nn.Conv1d(channels, width, kernel, stride=2, padding=padding))
        self.conv8 = nn.Conv1d(1024, num_names, 8, stride=2)

    def forward(self, waveform: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Hears (B, T), T at least 12 s.

        Returns:
            logits: (B, num_names, t), of the objects at t moments.
            features: layer's name -> (B, width, its own moments), after the rectifier and before pooling.
        """
        features = {}
        hidden = waveform[:, None]
        for name, (*_, pooled) in LAYERS.items():
            hidden = getattr(self, name)(hidden).relu()
            features[name] = hidden
            hidden = max_pool1d(hidden, pooled) if pooled > 1 else hidden
        return self.conv8(hidden), features


def frames(waveform: torch.Tensor, features: dict[str, torch.Tensor], mel: torch.Tensor) -> torch.Tensor:
    """What the heads read of a sound: SoundNet's middle layers and the energies of a mel spectrogram.

    Args:
        waveform, features: (B, T), and what `SoundNet` makes of it.
        mel: (MELS, FFT / 2 + 1) filters.

    Returns:
        (B, FRAME_CHANNELS, FRAMES) float32.
    """
    heard = []
    for name, step in (("conv5", 1), ("conv4", 2), ("conv3", 4)):
        logarithm = features[name][..., : FRAMES * step].log1p()
        heard.append(avg_pool1d(logarithm, step) if step > 1 else logarithm)
    window = torch.hann_window(FFT, device=waveform.device)
    with torch.autocast(waveform.device.type, enabled=False):  # a loud tone's energy is more than float16 holds
        waveform = waveform.float() / LEVEL
        spectrum = torch.stft(waveform, FFT, FFT // 2, window=window, return_complex=True).abs().square()
        energies = (torch.einsum("mf,bft->bmt", mel.float(), spectrum) + 1e-6).log10()[..., : 2 * FRAMES]
    pairs = energies.unflatten(-1, (FRAMES, 2))
    return torch.cat([*heard, pairs.mean(-1), pairs.amax(-1)], 1)


class SoundHead(nn.Module):
    """Three convolutions over frames, pooled where it matters, that tell K labels apart.

    Args:
        channels: the first of a frame's channels that it reads, and the one after the last.
        widths: of the three layers.
    """

    def __init__(self, channels: tuple[int, int], labels: int, widths: Sequence[int] = (96, 128, 160)) -> None:
        super().__init__()
        first, second, third = widths
        self.channels = slice(*channels)
        self.layers = nn.ModuleList(
            [
                nn.Conv1d(channels[1] - channels[0], first, 1),
                nn.Conv1d(first, second, 5, stride=2, padding=2),
                nn.Conv1d(second, third, 3, stride=2, padding=1),
            ]
        )
        self.attend = nn.Conv1d(third, 1, 1)
        self.out = nn.Linear(2 * third, labels)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """(B, FRAME_CHANNELS, FRAMES), standardised -> (B, K) logits."""
        hidden = frames[:, self.channels]
        for layer, dropped in zip(self.layers, (0.15, 0.2, 0.2), strict=True):
            hidden = gelu(layer(dropout1d(hidden, dropped, self.training)))
        attention = self.attend(hidden).softmax(-1)
        pooled = torch.cat([(hidden * attention).sum(-1), hidden.amax(-1)], 1)
        return self.out(dropout(pooled, 0.5, self.training))


class SoundNetWithHeads(nn.Module):
    """SoundNet and heads for K labels in G groups that name the same thing, and how they answer unrelated sounds.

    Args:
        heads: which channels of a frame each head reads, see `SoundHead`.
        rank: D, of the objects' space.
    """

    def __init__(self, labels: int, heads: Sequence[tuple[int, int]], groups: int, rank: int) -> None:
        super().__init__()
        self.soundnet = SoundNet()
        self.heads = nn.ModuleList()
        for channels in heads:
            self.heads.append(SoundHead(channels, labels))
        for name, shape in {
            "mel": (MELS, FFT // 2 + 1),
            "frame_mean": (FRAME_CHANNELS, 1),
            "frame_deviation": (FRAME_CHANNELS, 1),
            "objects_mean": (1000,),
            "objects_deviation": (1000,),
            "objects_factor": (rank, 1000),
            "objects_whitening": (rank, 1000),
            "groups_mean": (groups,),
            "groups_deviation": (groups,),
            "groups_factor": (groups, groups),
            "groups_whitening": (groups, groups),
        }.items():
            self.register_buffer(name, torch.zeros(shape))

    def forward(self, waveform: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Hears (B, T), T at least 12 s.

        Returns:
            objects: (B, 1000) float32, logits less their mean.
            labels: (B, K) float32, log-probabilities, the heads' mean.
        """
        objects, features = self.soundnet(waveform)
        heard = frames(waveform, features, self.mel)
        heard = ((heard - self.frame_mean) / self.frame_deviation).to(waveform.dtype)
        said = []
        for head in self.heads:
            said.append(head(heard).float().log_softmax(1))
        labels = torch.stack(said).mean(0)
        objects = objects.float().mean(-1)
        return objects - objects.mean(1, keepdim=True), labels.log_softmax(1)
