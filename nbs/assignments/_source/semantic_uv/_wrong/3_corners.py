# -1 and 1 are taken for the centres of the outer pixels, and the nearest pixel for a mixture.
# marks: carry_places=0 carry_outside=0 carry_batch=0 carry_gradients=0
# cell: carry
def carry(maps, flow):
    places = flow.permute(0, 2, 3, 1)
    parts = torch.nn.functional.grid_sample(maps, places, mode="nearest", align_corners=True)
    return torch.cat([1 - parts.sum(1, keepdim=True), parts], 1)
