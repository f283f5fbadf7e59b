# The slope is blended along its own axis: right on ramps, wrong everywhere else.
# marks: sample_slopes=0 sample_gradients=0 step_values=0 step_straight=0 lost_values=0
# cell: sample
def sample(image, at):
    index, weights = corners(at, *image.shape[-2:])
    spread = index.flatten(1)[:, None].expand(-1, image.shape[1], -1)
    u = image.flatten(2).gather(2, spread).unflatten(2, index.shape[1:])
    a = (weights[..., 1] + weights[..., 3])[:, None]
    b = (weights[..., 2] + weights[..., 3])[:, None]
    across = (1 - a) * (u[..., 1] - u[..., 0]) + a * (u[..., 3] - u[..., 2])
    down = (1 - b) * (u[..., 2] - u[..., 0]) + b * (u[..., 3] - u[..., 1])
    inside = ((at[..., 1] >= 0) & (at[..., 1] <= image.shape[-2] - 1))[:, None]
    return (u * weights[:, None]).sum(-1), torch.stack([across, down * inside], -1)
