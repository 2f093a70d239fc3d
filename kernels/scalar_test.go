package kernels_test

import (
	"testing"

	"forge/kernels"
	"forge/kernels/kernelstest"
)

func TestScalarInvariant(t *testing.T) {
	kernelstest.Invariant(t, kernels.Scalar{}, kernels.Options{})
}
