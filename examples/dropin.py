# SPDX-License-Identifier: Apache-2.0
"""The drop-in: an ImageFolder, torchvision's transforms, and one changed import.

python examples/dropin.py DIR
"""

import sys

import torch
from penstock import DataLoader  # was: from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

train = transforms.Compose(
    [
        transforms.RandomResizedCrop(224),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ]
)

if __name__ == "__main__":
    torch.manual_seed(0)
    loader = DataLoader(ImageFolder(sys.argv[1], train), batch_size=64, shuffle=True, num_workers=2)
    print(loader.explain())
    for images, labels in loader:
        print(tuple(images.shape), images.dtype, labels[:4].tolist())
    print(loader.stats())
