# Softmax over the queries instead of the anchors.
# marks: attend_weights=0 attend_temperature=0 attend_gradients=0 look_map=0
# cell: attend
def attend(query, key, value, valid, temperature=1.0):
    if temperature <= 0:
        raise refuse("temperature", "a number above 0", temperature)
    products = query @ key.transpose(1, 2) / temperature
    weights = torch.softmax(products, dim=1) * valid[:, None]
    return weights @ value, weights
