package plugins_test

import (
	"math"
	"slices"
	"strings"
)

// formulas are the samplers of small tables in float64, straight from their definitions: what the vectors record.
var formulas = map[string]func(in table, rc rowCase, w *words) table{
	"typ_p": func(in table, rc rowCase, _ *words) table {
		if rc.params[typicalP] >= 1 {
			return in
		}
		p, entropy := softmax(in), 0.0
		for _, x := range p {
			if x > 0 {
				entropy -= x * math.Log(x)
			}
		}
		order := ranked(in)
		closest := slices.Clone(order)
		slices.SortStableFunc(closest, func(a, b int) int {
			// Rounded, so that equal logits stay in the order of their rank.
			x, y := math.Abs(-math.Log(p[a])-entropy), math.Abs(-math.Log(p[b])-entropy)
			switch {
			case x < y-1e-12:
				return -1
			case x > y+1e-12:
				return 1
			case -math.Log(p[a]) < entropy-1e-12: // likelier than the mean: the nearest in rank are the last
				return slices.Index(order, b) - slices.Index(order, a)
			}
			return 0
		})
		sum, kept := 0.0, map[int]bool{}
		for _, i := range closest {
			kept[i] = true
			if sum += p[i]; sum > rc.params[typicalP] {
				break
			}
		}
		return in.pick(slices.DeleteFunc(order, func(i int) bool { return !kept[i] }), true)
	},
	"top_n_sigma": func(in table, rc rowCase, _ *words) table {
		sum, squares, n, top := 0.0, 0.0, 0.0, math.Inf(-1)
		for _, x := range in.logits {
			if v := value(x); !math.IsInf(v, -1) {
				sum, squares, n, top = sum+v, squares+v*v, n+1, max(top, v)
			}
		}
		sigma := math.Sqrt(squares/n - sum*sum/n/n)
		var keep []int
		for i, x := range in.logits {
			if value(x) >= top-rc.params[topNSigma]*sigma {
				keep = append(keep, i)
			}
		}
		if rc.params[topNSigma] <= 0 || len(keep) == len(in.logits) {
			return in
		}
		return in.pick(keep, in.sorted)
	},
	"xtc": func(in table, rc rowCase, _ *words) table {
		if rc.params[xtcProbability] <= 0 || rc.params[xtcThreshold] > 0.5 {
			return in
		}
		out := in
		out.draw++
		p, order, top := softmax(in), ranked(in), 0
		for top < len(order) && p[order[top]] >= rc.params[xtcThreshold] {
			top++
		}
		if uniform(rc.seed, rc.draw) >= rc.params[xtcProbability] || top < 2 {
			return out
		}
		kept := slices.Clone(order[top-1:])
		slices.Sort(kept)
		out = in.pick(kept, in.sorted)
		out.draw = rc.draw + 1
		return out
	},
	"logit_bias": func(in table, rc rowCase, _ *words) table {
		bias := map[string]map[uint32]float64{"2+1,4-0.5": {2: 1, 4: -0.5}, "0-inf,7+1e1,0+3": {0: math.Inf(-1), 7: 10}, "": {}}[rc.bias]
		if len(bias) == 0 {
			return in
		}
		out := in
		out.logits, out.sorted = slices.Clone(in.logits), false
		for i, x := range in.logits {
			out.logits[i] = float32(float64(x) + bias[in.id(i)])
		}
		return out
	},
	"ignore_eos": func(in table, rc rowCase, w *words) table {
		if rc.params[ignoreEOS] == 0 {
			return in
		}
		return without(in, w.eog)
	},
	"min_tokens": func(in table, rc rowCase, w *words) table {
		if float64(len(rc.history)-rc.nPrompt) >= rc.params[minTokens] {
			return in
		}
		return without(in, w.eog)
	},
	"dry": func(in table, rc rowCase, w *words) table {
		var breakers []string
		if rc.breakers != "" {
			breakers = strings.Split(strings.ReplaceAll(rc.breakers, `\n`, "\n"), ",")
		}
		out := in
		penalties := dryFormula(rc.history, w.texts, breakers, rc.params)
		if rc.params[dryMultiplier] == 0 {
			return in
		}
		out.logits, out.sorted = slices.Clone(in.logits), false
		for i, x := range in.logits {
			out.logits[i] = float32(float64(x) - penalties[in.id(i)])
		}
		return out
	},
	"infill": func(in table, rc rowCase, w *words) table {
		type candidate struct {
			id   uint32
			p    float64
			ends bool
		}
		var list []candidate
		p, text, ends := softmax(in), 0.0, 0.0
		for _, i := range ranked(in) {
			c := candidate{in.id(i), p[i], slices.Contains(w.eog, in.id(i))}
			if list = append(list, c); c.ends {
				ends += c.p
			} else {
				text += c.p
			}
		}
		// filter keeps the ends and what reaches p, and counts the others.
		filter := func(p float64) (others int) {
			list = slices.DeleteFunc(list, func(c candidate) bool { return !c.ends && c.p < p })
			for _, c := range list {
				if !c.ends {
					others++
				}
			}
			return others
		}
		if 3*ends*float64(len(list)) > text {
			filter(2)
		} else {
			for i := range list {
				for j := range list {
					if a, b := &list[i], &list[j]; i != j && w.texts[a.id] != "" && a.p > 0 && b.p > 0 && strings.HasPrefix(w.texts[b.id], w.texts[a.id]) {
						if b.p > a.p {
							a, b = b, a
						}
						a.p, b.p = a.p+b.p, 0
					}
				}
			}
			if others := filter(0.2); others == 0 {
				list = []candidate{{id: w.eog[0], p: 1}}
			} else {
				sum := 0.0
				for _, c := range list {
					sum += c.p
				}
				for i := range list {
					list[i].p /= sum
				}
				filter(1 / float64(others+1))
			}
		}
		out := table{ids: []uint32{}}
		for _, c := range list {
			out.ids, out.logits = append(out.ids, c.id), append(out.logits, float32(math.Log(c.p)))
		}
		out = out.pick(ranked(out), true)
		out.draw = rc.draw
		return out
	},
	"mirostat": func(in table, rc rowCase, _ *words) table {
		kept, _ := mirostatKept(in, vocabOf(in), rc.params, 2*rc.params[mirostatTau])
		if rc.params[mirostat] == 2 { // which keeps the order of the table
			slices.Sort(kept)
		}
		out := in.pick(kept, rc.params[mirostat] == 1 || in.sorted)
		for j := range out.logits {
			out.logits[j] /= float32(rc.params[temp])
		}
		p := softmax(out)
		out.draw = rc.draw + 1
		for sum := 0.0; out.selected < int32(len(p))-1; {
			out.selected++
			if sum += p[out.selected]; sum > uniform(rc.seed, rc.draw) {
				break
			}
		}
		return out
	},
}

// without is a table whose ids are forbidden.
func without(in table, ids []uint32) table {
	if in.ids == nil {
		out := in
		out.logits = slices.Clone(in.logits)
		for _, id := range ids {
			if int(id) < len(out.logits) {
				out.logits[id] = -inf
			}
		}
		return out
	}
	var keep []int
	for i := range in.logits {
		if !slices.Contains(ids, in.id(i)) {
			keep = append(keep, i)
		}
	}
	if len(keep) == len(in.logits) {
		return in
	}
	return in.pick(keep, in.sorted)
}

// vocabOf is the size of the vocabulary that a vector's table belongs to.
func vocabOf(in table) int {
	if in.ids == nil {
		return len(in.logits)
	}
	return 10
}
