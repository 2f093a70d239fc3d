// Package author has what the author of a plugin needs: to check a module, to time it, to try it on saved logits without
// a model, to see what each entry of a chain does to the candidates, and to start a new one.
package author
