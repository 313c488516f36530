"""Networks of others as plain ``tf_keras`` models: known layers of one purpose each, inputs by name, logits."""
