# The chart ends at its left and right border: the missing wrap-around.
# marks: labels_seam=0
# cell: vertex_labels
def vertex_labels(chart, uv):
    values = torch.nn.functional.grid_sample(
        chart[None], uv[None, None], padding_mode="border", align_corners=False
    )
    return values[0, :, 0].argmax(0)
