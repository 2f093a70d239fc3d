package kernels_test

import (
	"testing"

	"forge/kernels"
	"forge/kernels/kernelstest"
)

func TestScalarInvariant(t *testing.T) {
	kernelstest.Invariant(t, kernels.Scalar{}, kernels.Options{})
}

func TestScalarRouters(t *testing.T) {
	kernelstest.Routers(t, kernels.Scalar{}, kernels.Options{}, func(*kernelstest.Case) float64 { return 0 })
}
