package server

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// bodySettings are the numbers of a body that set samplers, and the setting that each is. The names are OpenAI's and those
// of llama.cpp's server and vLLM.
var bodySettings = map[string]string{
	"temperature": "temp", "top_k": "top_k", "top_p": "top_p", "min_p": "min_p", "typical_p": "typical_p", "top_n_sigma": "top_n_sigma",
	"repeat_penalty": "repeat_penalty", "repetition_penalty": "repeat_penalty", "repeat_last_n": "repeat_last_n",
	"frequency_penalty": "frequency_penalty", "presence_penalty": "presence_penalty",
	"dynatemp_range": "dynatemp_range", "dynatemp_exponent": "dynatemp_exponent",
	"xtc_probability": "xtc_probability", "xtc_threshold": "xtc_threshold",
	"dry_multiplier": "dry_multiplier", "dry_base": "dry_base", "dry_allowed_length": "dry_allowed_length", "dry_penalty_last_n": "dry_penalty_last_n",
	"mirostat": "mirostat", "mirostat_tau": "mirostat_tau", "mirostat_eta": "mirostat_eta", "min_tokens": "min_tokens",
}

// sampling gathers the sampler settings of a body into s. tokenize gives the ids of a text, for biases that name one.
func sampling(body map[string]json.RawMessage, s map[string]any, tokenize func(string) ([]uint32, error)) error {
	for _, key := range slices.Sorted(maps.Keys(bodySettings)) {
		setting, raw := bodySettings[key], body[key]
		if isNull(raw) {
			continue
		}
		var x float64
		if err := json.Unmarshal(raw, &x); err != nil {
			return badRequest("%q is not a number", key)
		}
		s[setting] = x
	}
	if raw := body["ignore_eos"]; !isNull(raw) {
		var on bool
		if err := json.Unmarshal(raw, &on); err != nil {
			return badRequest("\"ignore_eos\" is not true or false")
		}
		if on {
			s["ignore_eos"] = true
		}
	}
	if raw := body["dry_sequence_breakers"]; !isNull(raw) {
		var list []string
		if err := json.Unmarshal(raw, &list); err != nil {
			return badRequest("\"dry_sequence_breakers\" is not a list of strings")
		}
		s["dry_sequence_breakers"] = Breakers(list)
	}
	if raw := body["logit_bias"]; !isNull(raw) {
		bias, err := logitBias(raw, tokenize)
		if err != nil {
			return err
		}
		if bias != "" {
			s["logit_bias"] = bias
		}
	}
	return nil
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// logitBias reads {"15043": 1.5}, as OpenAI has it, or [[15043, 1.5], [2, false], ["text", -1]], as llama.cpp's server does,
// where false forbids, and writes the setting's list.
func logitBias(raw json.RawMessage, tokenize func(string) ([]uint32, error)) (string, error) {
	bad := badRequest("\"logit_bias\" is neither an object of token ids and numbers nor a list of [id or text, number or false]")
	var list []string
	add := func(id uint32, bias float64) {
		list = append(list, biasEntry(id, bias))
	}
	var object map[string]float64
	if err := json.Unmarshal(raw, &object); err == nil {
		for key, bias := range object {
			id, err := strconv.ParseUint(key, 10, 32)
			if err != nil {
				return "", badRequest("\"logit_bias\" has the key %q, which is not a token id", key)
			}
			add(uint32(id), bias)
		}
		slices.Sort(list) // a map has no order, and a setting is one text
		return strings.Join(list, ","), nil
	}
	var pairs [][2]any
	if err := json.Unmarshal(raw, &pairs); err != nil {
		return "", bad
	}
	for _, p := range pairs {
		bias, isNumber := p[1].(float64)
		if p[1] == false {
			bias = math.Inf(-1)
		} else if !isNumber {
			return "", bad
		}
		switch which := p[0].(type) {
		case float64:
			if which != math.Trunc(which) || which < 0 || which > math.MaxUint32 {
				return "", bad
			}
			add(uint32(which), bias)
		case string:
			ids, err := tokenize(which)
			if err != nil {
				return "", err
			}
			for _, id := range ids {
				add(id, bias)
			}
		default:
			return "", bad
		}
	}
	return strings.Join(list, ","), nil
}

// biasEntry writes one entry of the setting logit_bias.
func biasEntry(id uint32, bias float64) string {
	sign, size := "+", strconv.FormatFloat(math.Abs(bias), 'g', -1, 64)
	if bias < 0 {
		sign = "-"
	}
	if math.IsInf(bias, 0) {
		size = "inf"
	}
	return strconv.FormatUint(uint64(id), 10) + sign + size
}

// Breakers writes texts as the setting dry_sequence_breakers has them.
func Breakers(list []string) string {
	escape := strings.NewReplacer(`\`, `\\`, ",", `\,`, "\n", `\n`, "\t", `\t`)
	var out []string
	for _, s := range list {
		out = append(out, escape.Replace(s))
	}
	return strings.Join(out, ",")
}

// rules are samplers that hold whatever chain a user names, as in llama.cpp, in their order, and are called like the
// setting that asks for them.
var rules = []string{"ignore_eos", "min_tokens", "logit_bias", "mirostat"}

// WithRules puts the rules that the settings ask for in front of a chain that lacks them. Without a named chain it is the
// default that is looked at; nil stays nil where that has them all.
func WithRules(named, standard []string, settings map[string]any) []string {
	chain := named
	if chain == nil {
		chain = standard
	}
	var missing []string
	for _, rule := range rules {
		v, set := settings[rule]
		if !set || v == false || v == "" || v == 0 || v == 0.0 {
			continue
		}
		if !slices.ContainsFunc(chain, func(name string) bool { return name == rule || strings.HasSuffix(name, "."+rule) }) {
			missing = append(missing, rule)
		}
	}
	if missing == nil {
		return named
	}
	return append(missing, chain...)
}
