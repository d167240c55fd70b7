"""The selective scan and the causal convolution as nested loops over sequences, steps, channels and states."""

import math

import torch


def scan(u, delta, A, B, C, D=None, *, z=None, delta_bias=None, delta_softplus=False, lengths=None, reverse=False):
    """``[S, L, D]`` in float64, one number at a time."""
    y = torch.zeros(u.shape, dtype=torch.float64)
    for s in range(u.shape[0]):
        steps = range(u.shape[1] if lengths is None else int(lengths[s]))
        for c in range(u.shape[2]):
            h = [0.0] * A.shape[1]
            for t in reversed(steps) if reverse else steps:
                dt = float(delta[s, t, c]) + (0.0 if delta_bias is None else float(delta_bias[c]))
                if delta_softplus:
                    dt = dt if dt > 40 else math.log1p(math.exp(dt))
                x = float(u[s, t, c])
                total = 0.0 if D is None else float(D[c]) * x
                for k in range(A.shape[1]):
                    h[k] = math.exp(dt * float(A[c, k])) * h[k] + dt * float(B[s, t, k]) * x
                    total += float(C[s, t, k]) * h[k]
                if z is not None:
                    total *= float(z[s, t, c]) / (1 + math.exp(-float(z[s, t, c])))
                y[s, t, c] = total
    return y


def conv(x, weight, bias=None, *, silu=False, lengths=None, reverse=False):
    """``[S, L, D]`` in float64, one number at a time."""
    y = torch.zeros(x.shape, dtype=torch.float64)
    width = weight.shape[1]
    for s in range(x.shape[0]):
        length = x.shape[1] if lengths is None else int(lengths[s])
        for t in range(length):
            for c in range(x.shape[2]):
                total = 0.0 if bias is None else float(bias[c])
                for j in range(width):
                    before = width - 1 - j  # steps back
                    at = t + before if reverse else t - before
                    if 0 <= at < length:
                        total += float(weight[c, j]) * float(x[s, at, c])
                y[s, t, c] = total / (1 + math.exp(-total)) if silu else total
    return y
