package plugins_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"forge/abi"
	"forge/kernels"
	"forge/plugins/internal/guesttest"
)

// router calls a router guest record by record.
type router struct {
	*guesttest.Guest
	params []float64
}

// openRouter gives a router with the values of its config slots, in the manifest's order.
func openRouter(tb testing.TB, name string, params ...float64) *router {
	return &router{guesttest.Open(tb, "router/"+name+".wasm", 4<<20, nil), params}
}

func (r *router) floats(x []float32) uint32 {
	if x == nil {
		return 0
	}
	at := r.Alloc(uint32(4*len(x)) + 4)
	for i, v := range x {
		binary.LittleEndian.PutUint32(r.Bytes(at+uint32(4*i), 4), math.Float32bits(v))
	}
	return at
}

func (r *router) slots() (uint32, uint32) {
	at := r.Alloc(uint32(8*len(r.params)) + 8)
	for i, v := range r.params {
		binary.LittleEndian.PutUint64(r.Bytes(at+uint32(8*i), 8), math.Float64bits(v))
	}
	return at, uint32(len(r.params))
}

// lay fills the frame of router_route for rows of n scores; a are the model's own attributes.
func (r *router) lay(scores, bias []float32, n int, a kernels.RouteAttrs) uint32 {
	r.Reset()
	at, frame := r.Frame(abi.RouteSize)
	rows := len(scores) / n
	f := abi.Route(frame)
	f.SetNTokens(uint32(rows))
	f.SetNExperts(uint32(n))
	f.SetTopK(uint32(a.TopK))
	f.SetScores(r.floats(scores))
	f.SetBias(r.floats(bias))
	f.SetParams(r.slots())
	f.SetScore(uint32(a.Score))
	f.SetNGroup(uint32(a.NGroup))
	f.SetNGroupUsed(uint32(a.NGroupUsed))
	f.SetRenormalise(uint32(a.Renormalise))
	f.SetFactor(a.Factor)
	f.SetIDs(r.Alloc(uint32(4 * rows * a.TopK)))
	f.SetWeights(r.Alloc(uint32(4 * rows * a.TopK)))
	return at
}

// route calls router_route.
func (r *router) route(scores, bias []float32, n int, a kernels.RouteAttrs) ([]kernels.Route, error) {
	at, rows := r.lay(scores, bias, n, a), len(scores)/n
	if err := r.Call("router_route", at); err != nil {
		return nil, err
	}
	f := abi.Route(r.Bytes(at, abi.RouteSize))
	ids, weights := f.IDs(), f.Weights()
	out := make([]kernels.Route, rows*a.TopK)
	for i := range out {
		out[i].Expert = int(binary.LittleEndian.Uint32(r.Bytes(ids+uint32(4*i), 4)))
		out[i].Weight = math.Float32frombits(binary.LittleEndian.Uint32(r.Bytes(weights+uint32(4*i), 4)))
	}
	return out, nil
}

// plan calls router_plan.
func (r *router) plan(bias bool, n int, a kernels.RouteAttrs) (kernels.RouteAttrs, bool, error) {
	r.Reset()
	at, frame := r.Frame(abi.RoutePlanSize)
	f := abi.RoutePlan(frame)
	f.SetNExperts(uint32(n))
	f.SetTopK(uint32(a.TopK))
	f.SetParams(r.slots())
	if bias {
		f.SetHasBias(1)
		f.SetUseBias(1)
	}
	f.SetScore(uint32(a.Score))
	f.SetNGroup(uint32(a.NGroup))
	f.SetNGroupUsed(uint32(a.NGroupUsed))
	f.SetRenormalise(uint32(a.Renormalise))
	f.SetFactor(a.Factor)
	if err := r.Call("router_plan", at); err != nil {
		return a, false, err
	}
	f = abi.RoutePlan(r.Bytes(at, abi.RoutePlanSize))
	return kernels.RouteAttrs{Score: kernels.RouteScore(f.Score()), TopK: int(f.TopK()), NGroup: int(f.NGroup()), NGroupUsed: int(f.NGroupUsed()),
		Renormalise: int(f.Renormalise()), Factor: f.Factor()}, f.UseBias() != 0, nil
}

// randomRouting draws attributes, scores with ties and extremes, and a bias or none, for n experts.
func randomRouting(rng *rand.Rand, rows int) (a kernels.RouteAttrs, n int, scores, bias []float32) {
	a = kernels.RouteAttrs{Score: kernels.RouteScore(rng.IntN(3)), NGroup: []int{1, 1, 1, 2, 3, 4, 7, 8, 12}[rng.IntN(9)], Renormalise: rng.IntN(2), Factor: 2.5}
	size := 1 + rng.IntN(40)
	n, a.NGroupUsed = a.NGroup*size, 1+rng.IntN(a.NGroup)
	a.TopK = 1 + rng.IntN(min(a.NGroupUsed*size, 16))
	if rng.IntN(2) == 0 {
		bias = make([]float32, n)
		for i := range bias {
			bias[i] = float32(0.2 * rng.NormFloat64())
		}
	}
	scores = make([]float32, rows*n)
	kind := rng.IntN(4)
	for i := range scores {
		switch kind {
		case 0:
			scores[i] = float32(rng.IntN(5) - 2)
		case 1:
			scores[i] = float32(3e38 * (2*rng.Float64() - 1))
		case 2:
			scores[i] = float32(300 * rng.NormFloat64()) // results below the smallest normal numbers
		default:
			scores[i] = float32(3 * rng.NormFloat64())
		}
	}
	return a, n, scores, bias
}

// Ensure that the shipped routers, left to the model's own settings, answer with the bits of the operation route, and that
// their plan is that operation.
func TestRouters_AsTheOperation(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	softmax, sigmoid := openRouter(t, "softmax", -1, -1, 0), openRouter(t, "sigmoid", 1, 0, 0, -1, 0)
	for range 3000 {
		a, n, scores, bias := randomRouting(rng, 1+rng.IntN(3))
		r := softmax
		if a.Score == kernels.RouteScoreSigmoid {
			r = sigmoid
		}
		got, err := r.route(scores, bias, n, a)
		if err != nil {
			t.Fatal(err)
		}
		var want []kernels.Route
		for row := range len(scores) / n {
			want = kernels.ChooseExperts(want, scores[row*n:(row+1)*n], bias, a)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%+v of %d experts, scores %v, bias %v:\n%v, the operation gives\n%v", a, n, scores, bias, got, want)
		}
		plan, useBias, err := r.plan(bias != nil, n, a)
		if err != nil || plan != a || useBias != (bias != nil) {
			t.Fatalf("the plan of %+v is %+v, bias %t (%v)", a, plan, useBias, err)
		}
	}
}

// Ensure that config changes what it says, by call and by plan alike. The weights are worked out by hand:
// e^1 = 2.718281828, e^2 = 7.389056099, e^0 = 1.
func TestRouters_Config(t *testing.T) {
	scores := []float32{1, 0, 2, 0}
	all, chosen := 1+1+math.E+math.E*math.E, math.E+math.E*math.E
	s1, s2 := 1/(1+math.Exp(-1)), 1/(1+math.Exp(-2))
	model := kernels.RouteAttrs{Score: kernels.RouteScoreSoftmax, TopK: 2, NGroup: 1, NGroupUsed: 1, Renormalise: 1, Factor: 1}
	bias := []float32{0, 0, -10, 0}
	for _, c := range []struct {
		name, guest string
		params      []float64
		bias        []float32
		want        map[int]float64
	}{
		{"the model's", "softmax", []float64{-1, -1, 0}, nil, map[int]float64{2: math.E * math.E / chosen, 0: math.E / chosen}},
		{"as they are", "softmax", []float64{-1, 0, 0}, nil, map[int]float64{2: math.E * math.E / all, 0: math.E / all}},
		{"over the chosen, factor", "softmax", []float64{1, 0, 2}, nil, map[int]float64{2: 2 * math.E * math.E / chosen, 0: 2 * math.E / chosen}},
		{"bias", "softmax", []float64{-1, 0, 0}, bias, map[int]float64{0: math.E / all, 1: 1 / all}},
		{"sigmoid", "sigmoid", []float64{1, 0, 0, 0, 0}, nil, map[int]float64{2: s2, 0: s1}},
		{"sigmoid renormalised, factor", "sigmoid", []float64{1, 0, 0, 1, 3}, nil, map[int]float64{2: 3 * s2 / (s1 + s2), 0: 3 * s1 / (s1 + s2)}},
		{"sigmoid with bias", "sigmoid", []float64{1, 0, 0, 0, 0}, bias, map[int]float64{0: s1, 1: 0.5}},
		{"sigmoid without its bias", "sigmoid", []float64{0, 0, 0, 0, 0}, bias, map[int]float64{2: s2, 0: s1}},
		{"one group of two", "sigmoid", []float64{1, 2, 1, 0, 0}, nil, map[int]float64{2: s2, 3: 0.5}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := openRouter(t, c.guest, c.params...)
			got, err := r.route(scores, c.bias, 4, model)
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range got {
				if want, ok := c.want[g.Expert]; !ok || math.Abs(float64(g.Weight)-want) > 1e-6 {
					t.Errorf("expert %d has the weight %v, expected are %v", g.Expert, g.Weight, c.want)
				}
			}
			plan, useBias, err := r.plan(c.bias != nil, 4, model)
			if err != nil {
				t.Fatal(err)
			}
			with := c.bias
			if !useBias {
				with = nil
			}
			if native := kernels.ChooseExperts(nil, scores, with, plan); !slices.Equal(native, got) {
				t.Errorf("by plan %v, by call %v", native, got)
			}
		})
	}
}

// Ensure that settings which do not fit the model are refused with a sentence, by call and by plan.
func TestRouters_Refusals(t *testing.T) {
	model := kernels.RouteAttrs{Score: kernels.RouteScoreSigmoid, TopK: 2, NGroup: 1, NGroupUsed: 1, Factor: 1}
	for _, c := range []struct {
		params []float64
		want   string
	}{
		{[]float64{1, 3, 1, -1, 0}, "err_config: the experts do not part into so many groups"},
		{[]float64{1, 2, 3, -1, 0}, "err_config: more groups are to be used than there are"},
		{[]float64{1, 4, 1, -1, 0}, "err_config: the groups used have fewer experts than are to be chosen"},
	} {
		r := openRouter(t, "sigmoid", c.params...)
		_, err := r.route(make([]float32, 4), nil, 4, model)
		_, _, planErr := r.plan(false, 4, model)
		for _, err := range []error{err, planErr} {
			if err == nil || !strings.HasSuffix(err.Error(), c.want) {
				t.Errorf("%v: got %v\nwant %s", c.params, err, c.want)
			}
		}
	}
	r := openRouter(t, "softmax", -1, -1, 0)
	if _, err := r.route(make([]float32, 5000), nil, 5000, model); err == nil || !strings.HasSuffix(err.Error(), "err_unsupported: a layer of more than 4096 experts is more than this router holds") {
		t.Error(err)
	}
}

// Ensure that both forms of the SDK's exponential and the devices' have the same bits, subnormal results among them.
func TestMaths_ExpEverywhere(t *testing.T) {
	call := maths(t)
	rng := rand.New(rand.NewPCG(8, 2))
	for i := range 20000 {
		x := 1460*rng.Float64() - 748
		switch i {
		case 0, 1, 2, 3, 4:
			x = []float64{0, math.Inf(1), math.Inf(-1), 709.782712893384, -745.1332191019412}[i]
		}
		want := math.Float64bits(kernels.Exp(x))
		pair := call("exp_pair", math.Float64bits(x), math.Float64bits(rng.NormFloat64()), uint64(i%2))
		if one := call("exp", math.Float64bits(x)); one != want || pair != want {
			t.Fatalf("e^%v is %x in Go, %x in C, %x in a pair", x, want, one, pair)
		}
	}
	if x := math.Float64frombits(call("exp_pair", math.Float64bits(math.NaN()), 0, 0)); x == x {
		t.Errorf("e^NaN in a pair is %v", x)
	}
}
