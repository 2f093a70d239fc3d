package plugins_test

import (
	"os"
	"slices"
	"testing"

	"forge/host/plugin"
)

func samplerManifests(t *testing.T) map[string]*plugin.Manifest {
	t.Helper()
	out := map[string]*plugin.Manifest{}
	for module := range slotsOf {
		wasm, err := os.ReadFile("sampler/" + module + ".wasm")
		if err != nil {
			t.Fatal(err)
		}
		if out[module], err = plugin.ReadManifest(wasm); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// Ensure that the tests' slots and defaults are the manifests'.
func TestSamplers_Slots(t *testing.T) {
	for module, m := range samplerManifests(t) {
		var names, want []string
		for _, k := range m.Config {
			names = append(names, k.Name)
		}
		for _, s := range slotsOf[module] {
			want = append(want, settingNames[s])
		}
		if !slices.Equal(names, want) {
			t.Errorf("%s has the settings %v, the tests %v", module, names, want)
		}
		defaults := params()
		for i, k := range m.Config {
			var have float64
			switch v := k.Default.(type) {
			case float64:
				have = v
			case int64:
				have = float64(v)
			}
			if have != defaults[slotsOf[module][i]] {
				t.Errorf("%s: %s has the default %v, the tests %v", module, k.Name, k.Default, defaults[slotsOf[module][i]])
			}
		}
	}
}

// Ensure that every entry whose manifest calls some values neutral does nothing there, whatever the other settings are: the
// host relies on it and does not call.
func TestSamplers_Neutral(t *testing.T) {
	w := &words{texts: dryWords}
	w.eog = []uint32{1, 2}
	n := len(w.texts)
	in := table{logits: make([]float32, n)}
	for i := range in.logits {
		in.logits[i] = float32(i*7%n) / 3
	}
	seen := 0
	for module, m := range samplerManifests(t) {
		var c *chain
		switch module {
		case "text":
			c = openWords(t, w)
		case "mirostat":
			c = openMirostat(t, n).chain
		default:
			c = openModule(t, module, n)
		}
		for _, e := range m.Entries {
			if len(e.Neutral) == 0 {
				continue
			}
			seen++
			// The other settings are such that they would do something.
			rc := rowCase{params: params(repeatLastN, -1, dynatempExponent, 2, xtcThreshold, 0.01, dryBase, 2, dryAllowedLength, 1, mirostatTau, 1, ignoreEOS, 1,
				minTokens, 100, temp, 0.5, dynatempRange, 1, typicalP, 0.1, topNSigma, 0.1, xtcProbability, 1, dryMultiplier, 1, mirostat, 2),
				history: []uint32{0, 1, 2, 0, 1, 2}, bias: "1+1"}
			for name, v := range e.Neutral {
				s := slices.Index(settingNames[:], name)
				switch v := v.(type) {
				case int64:
					rc.params[s] = float64(v)
				case float64:
					rc.params[s] = v
				case bool:
					rc.params[s] = 0
				case string:
					rc.bias, rc.params[s] = "", 0
				}
			}
			unchanged(t, c.run(in, rc, e.Name), in)
		}
	}
	if seen != 13 {
		t.Errorf("%d entries are neutral somewhere, want 13", seen)
	}
}
