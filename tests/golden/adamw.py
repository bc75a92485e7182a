"""Writes adamw.txt: PyTorch's AdamW on the sum of squares, from (1, -2), rate 0.1, decay 0.01."""

import pathlib

import torch

x = torch.nn.Parameter(torch.tensor([[1.0, -2.0]]))
optimizer = torch.optim.AdamW([x], lr=0.1, weight_decay=0.01)
lines = []
for _ in range(5):
    optimizer.zero_grad()
    x.square().sum().backward()
    optimizer.step()
    lines.append(" ".join(f"{value:.9f}" for value in x.detach().flatten().tolist()))
pathlib.Path(__file__).with_name("adamw.txt").write_text("\n".join(lines) + "\n")
