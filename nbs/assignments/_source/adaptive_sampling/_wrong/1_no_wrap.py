# Holds columns at the border: the panorama has an end.
# marks: corners_seam=0 sample_seam=0
# cell: corners
def corners(at, height, width):
    x, y = at[..., 0].clamp(0, width - 1), at[..., 1].clamp(0, height - 1)
    left, top = x.detach().floor().clamp(max=width - 2), y.detach().floor().clamp(max=height - 2)
    a, b = x - left, y - top
    first = top.long() * width + left.long()
    index = torch.stack([first, first + 1, first + width, first + width + 1], -1)
    return index, torch.stack([(1 - a) * (1 - b), a * (1 - b), (1 - a) * b, a * b], -1)
