package kernels

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// Listing writes a checked program for people: its sizes, then one line an operation, grouped by layer.
//
//	layer 0
//	  v2[576] = norm(v1, weight=blk.0.attn_norm.weight F32 [576], kind=rms, eps=1e-05, group=0)
//	  v3[576] = linear(v2, weight=blk.0.attn_q.weight Q4_1 [576, 576], heads=1)
func (p *Program) Listing(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "program %s: %d operations, %d weights of %s, %d entries of a row alive at most\n",
		printable(p.Name), len(p.Ops), len(p.Weights), bytesText(p.WeightBytes()), p.Live())
	for g := range p.Groups {
		group := &p.Groups[g]
		fmt.Fprintf(&b, "kv group %d: %d layers, %d heads, k[%d] v[%d], %s, %s a position in F32\n",
			g, len(group.Layers), group.HeadsKV, group.WidthK, group.WidthV, windowText(group.Window), bytesText(4*int64(group.KVFloats())))
	}
	layer := math.MinInt
	for i := range p.Ops {
		op := &p.Ops[i]
		if op.Layer != layer {
			layer = op.Layer
			if layer < 0 {
				b.WriteString("outside the layers\n")
			} else {
				fmt.Fprintf(&b, "layer %d\n", layer)
			}
		}
		p.line(&b, op)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (p *Program) line(b *strings.Builder, op *Op) {
	spec := Specs[op.Code]
	b.WriteString("  ")
	for _, id := range op.Out {
		v := p.Values[id]
		fmt.Fprintf(b, "v%d[%d]%s = ", id, v.Width, markText(v))
	}
	var args []string
	for _, id := range op.In {
		if id >= 0 {
			args = append(args, fmt.Sprintf("v%d", id))
		}
	}
	for k, id := range op.W {
		if id >= 0 {
			w := &p.Weights[id]
			slot := strings.TrimSuffix(spec.W[k], "?")
			args = append(args, fmt.Sprintf("%s=%s %s %s", slot, printable(w.Name), w.Type, shapeText(w.Shape)))
		}
	}
	for k, a := range spec.Attr {
		args = append(args, a.Name+"="+attrText(a, op.Attr[k]))
	}
	fmt.Fprintf(b, "%s(%s)\n", op.Code, strings.Join(args, ", "))
}

func attrText(a AttrSpec, v uint32) string {
	switch {
	case a.Type == "enum" && v < uint32(len(a.Names)):
		return a.Names[v]
	case a.Type == "f32":
		return strconv.FormatFloat(float64(math.Float32frombits(v)), 'g', -1, 32)
	}
	return strconv.Itoa(int(int32(v)))
}

func markText(v Value) string {
	switch {
	case v.Routes:
		return " routes"
	case v.Selected:
		return " selected"
	}
	return ""
}

func windowText(n int) string {
	if n == 0 {
		return "all positions"
	}
	return fmt.Sprintf("the last %d positions", n)
}

func bytesText(n int64) string {
	const unit = 1024
	f, units := float64(n), []string{"B", "KiB", "MiB", "GiB", "TiB"}
	for f >= unit && len(units) > 1 {
		f, units = f/unit, units[1:]
	}
	return strconv.FormatFloat(math.Round(f*10)/10, 'f', -1, 64) + " " + units[0]
}
