# What lies outside of the photograph gets the colour of its border.
# marks: carry_outside=0
# cell: carry
def carry(maps, flow):
    places = flow.permute(0, 2, 3, 1)
    parts = torch.nn.functional.grid_sample(
        maps, places, padding_mode="border", align_corners=False
    )
    return torch.cat([1 - parts.sum(1, keepdim=True), parts], 1)
