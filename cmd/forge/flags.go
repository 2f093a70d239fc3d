package main

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"forge/host/server"
)

var modelFlag = &cli.StringFlag{Name: "model", Aliases: []string{"m"}, Usage: "the GGUF `FILE`", EnvVars: []string{"FORGE_MODEL"}}

var noMmapFlag = &cli.BoolFlag{Name: "no-mmap", Usage: "copy the model into memory of this process, in large pages where the system has them, instead of mapping the file: it starts later and may decode faster", EnvVars: []string{"FORGE_NO_MMAP"}}

func pluginFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "plugins", Usage: "the plugin set, a TOML `FILE` (else the user's configuration directory has forge/plugins.toml, else the set that forge ships)", EnvVars: []string{"FORGE_PLUGINS"}},
		&cli.StringSliceFlag{Name: "plugin", Usage: "add one module, a `FILE.wasm`, unpinned, for this run; its digest is printed"},
	}
}

func engineFlags() []cli.Flag {
	return append([]cli.Flag{
		modelFlag,
		&cli.IntFlag{Name: "ctx-size", Aliases: []string{"c"}, Usage: "context size in tokens", DefaultText: "4096, or what the model was trained for if less", EnvVars: []string{"FORGE_CTX_SIZE"}},
		&cli.IntFlag{Name: "threads", Aliases: []string{"t"}, Usage: "threads", DefaultText: "the processors that this process may use", EnvVars: []string{"FORGE_THREADS"}},
		&cli.IntFlag{Name: "batch-size", Aliases: []string{"b"}, Usage: "tokens of a prompt computed at once", Value: 512},
		&cli.StringFlag{Name: "cache-type-k", Aliases: []string{"ctk"}, Usage: "format of cached keys: f16 or q8_0, half the memory; the scalar device takes more", DefaultText: "f16"},
		&cli.StringFlag{Name: "cache-type-v", Aliases: []string{"ctv"}, Usage: "format of cached values, likewise", DefaultText: "f16"},
		noMmapFlag,
		&cli.StringFlag{Name: "device", Usage: "auto, simd or scalar", Value: "auto", EnvVars: []string{"FORGE_DEVICE"}},
		&cli.StringFlag{Name: "router", Usage: "a plugin of kind router by `NAME`: it chooses the experts of a model that has some", DefaultText: "the plugin set's, else the one that provides the model's own way"},
		&cli.BoolFlag{Name: "deterministic", Usage: "the same tokens whatever else runs in the same steps"},
		&cli.BoolFlag{Name: "verbose", Usage: "say which plugins, digests and kernels are used"},
	}, pluginFlags()...)
}

// samplingFlags name their config key in settingKeys.
func samplingFlags() []cli.Flag {
	return []cli.Flag{
		&cli.Float64Flag{Name: "temp", Aliases: []string{"temperature"}, Usage: "temperature; 0 takes the likeliest token always", DefaultText: "0.8"},
		&cli.IntFlag{Name: "top-k", Usage: "keep the k likeliest tokens; 0: all", DefaultText: "40"},
		&cli.Float64Flag{Name: "top-p", Usage: "keep the likeliest tokens until their probabilities sum to p; 1: all", DefaultText: "0.95"},
		&cli.Float64Flag{Name: "min-p", Usage: "keep tokens at least p times as likely as the likeliest; 0: all", DefaultText: "0.05"},
		&cli.Float64Flag{Name: "repeat-penalty", Usage: "divide positive and multiply negative logits of recent tokens by this; 1: off", DefaultText: "1"},
		&cli.IntFlag{Name: "repeat-last-n", Usage: "how many recent tokens the penalties look at; 0: none, -1: all", DefaultText: "64"},
		&cli.Float64Flag{Name: "frequency-penalty", Usage: "subtract this for each time a token occurred", DefaultText: "0"},
		&cli.Float64Flag{Name: "presence-penalty", Usage: "subtract this if a token occurred", DefaultText: "0"},
		&cli.Float64Flag{Name: "dynatemp-range", Usage: "let the temperature vary by this much, with how undecided the model is; 0: not at all", DefaultText: "0"},
		&cli.Float64Flag{Name: "dynatemp-exp", Usage: "exponent of that", DefaultText: "1"},
		&cli.Float64Flag{Name: "typical", Usage: "keep the tokens of most typical surprise until their probabilities exceed p; 1: all", DefaultText: "1"},
		&cli.Float64Flag{Name: "top-n-sigma", Aliases: []string{"top-nsigma"}, Usage: "keep tokens at most n standard deviations below the best logit; -1: all", DefaultText: "-1"},
		&cli.Float64Flag{Name: "xtc-probability", Usage: "how often the likeliest tokens are excluded, but the last of them; 0: never", DefaultText: "0"},
		&cli.Float64Flag{Name: "xtc-threshold", Usage: "the probability that makes a token one of them", DefaultText: "0.1"},
		&cli.Float64Flag{Name: "dry-multiplier", Usage: "strength of the penalty on tokens that continue a repetition (DRY); 0: off", DefaultText: "0"},
		&cli.Float64Flag{Name: "dry-base", Usage: "growth of that penalty with each repeated token", DefaultText: "1.75"},
		&cli.IntFlag{Name: "dry-allowed-length", Usage: "shorter repetitions are not penalised", DefaultText: "2"},
		&cli.IntFlag{Name: "dry-penalty-last-n", Usage: "how many recent tokens DRY looks at; 0: none, -1: all", DefaultText: "-1"},
		&cli.StringSliceFlag{Name: "dry-sequence-breaker", Usage: "a `TEXT` over which no repetition reaches, in place of those by default; \\n is a line's end; none: no text; may be given several times", DefaultText: "\\n : \" *"},
		&cli.IntFlag{Name: "mirostat", Usage: "steer the surprise of the text to a target with Mirostat 1 or 2, in place of the other samplers; 0: off", DefaultText: "0"},
		&cli.Float64Flag{Name: "mirostat-lr", Usage: "Mirostat's learning rate, eta", DefaultText: "0.1"},
		&cli.Float64Flag{Name: "mirostat-ent", Usage: "Mirostat's target entropy, tau, in bits a token", DefaultText: "5"},
		&cli.StringSliceFlag{Name: "logit-bias", Aliases: []string{"l"}, Usage: "`TOKEN(+/-)BIAS`: add to the logit of a token id, 15043+1 or 15043-inf; may be given several times"},
		&cli.IntFlag{Name: "min-tokens", Usage: "generate at least this many tokens before the end", DefaultText: "0"},
		&cli.StringSliceFlag{Name: "set", Usage: "a plugin's setting, `KEY=VALUE`, for samplers without a flag of their own"},
		&cli.StringFlag{Name: "samplers", Usage: "the chain, `a;b;c` in order", DefaultText: "the plugin set's, see forge plugin list"},
		&cli.Int64Flag{Name: "seed", Aliases: []string{"s"}, Usage: "seed of the generator; -1: from the clock", Value: -1},
	}
}

var settingKeys = map[string]string{
	"temp": "temp", "top-k": "top_k", "top-p": "top_p", "min-p": "min_p", "repeat-penalty": "repeat_penalty",
	"repeat-last-n": "repeat_last_n", "frequency-penalty": "frequency_penalty", "presence-penalty": "presence_penalty",
	"dynatemp-range": "dynatemp_range", "dynatemp-exp": "dynatemp_exponent", "typical": "typical_p", "top-n-sigma": "top_n_sigma",
	"xtc-probability": "xtc_probability", "xtc-threshold": "xtc_threshold", "dry-multiplier": "dry_multiplier", "dry-base": "dry_base",
	"dry-allowed-length": "dry_allowed_length", "dry-penalty-last-n": "dry_penalty_last_n", "mirostat": "mirostat", "mirostat-lr": "mirostat_eta",
	"mirostat-ent": "mirostat_tau", "min-tokens": "min_tokens",
}

// biasShape is what --logit-bias takes: as llama.cpp has it.
var biasShape = regexp.MustCompile(`^[0-9]+[+-]([0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?|\.[0-9]+|inf)$`)

// listSettings gathers the flags that may be given several times.
func listSettings(c *cli.Context, s map[string]any) error {
	if list := c.StringSlice("logit-bias"); len(list) > 0 {
		for _, bias := range list {
			if !biasShape.MatchString(bias) {
				return fmt.Errorf("-l %q: write it as TOKEN+BIAS or TOKEN-BIAS, such as 15043+1 or 15043-inf", bias)
			}
		}
		s["logit_bias"] = strings.Join(list, ",")
	}
	if list := c.StringSlice("dry-sequence-breaker"); len(list) > 0 {
		var breakers []string
		for _, text := range list {
			if text != "none" {
				breakers = append(breakers, strings.ReplaceAll(text, `\n`, "\n"))
			}
		}
		s["dry_sequence_breakers"] = server.Breakers(breakers)
	}
	return nil
}

// settings gathers the sampler settings that the user gave.
func settings(c *cli.Context) (map[string]any, error) {
	s := map[string]any{}
	for flag, key := range settingKeys {
		if c.IsSet(flag) {
			s[key] = c.Value(flag)
		}
	}
	if err := listSettings(c, s); err != nil {
		return nil, err
	}
	more, err := setFlags(c)
	maps.Copy(s, more)
	return s, err
}

// setFlags are the settings that --set gives by name.
func setFlags(c *cli.Context) (map[string]any, error) {
	s := map[string]any{}
	for _, kv := range c.StringSlice("set") {
		key, value, ok := strings.Cut(kv, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("--set %q: write it as KEY=VALUE", kv)
		}
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			s[key] = v
		} else if v, err := strconv.ParseBool(value); err == nil {
			s[key] = v
		} else {
			s[key] = value
		}
	}
	return s, nil
}

// samplerNames splits --samplers; nil means the plugin set's chain. llama.cpp's spelling of temperature is taken too.
func samplerNames(c *cli.Context) []string {
	if !c.IsSet("samplers") {
		return nil
	}
	names := strings.FieldsFunc(c.String("samplers"), func(r rune) bool { return r == ';' || r == ' ' })
	for i, n := range names {
		if n == "temp" {
			names[i] = "temperature"
		}
	}
	return append([]string{}, names...)
}

func requireModel(c *cli.Context) (string, error) {
	path := c.String("model")
	if path == "" {
		return "", fmt.Errorf("no model: name a GGUF file with -m (see forge %s --help)", c.Command.Name)
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("no model: %w", err)
	}
	return path, nil
}

// noArguments refuses words that no flag took: most often a prompt without -p.
func noArguments(c *cli.Context) error {
	if c.Args().Present() {
		return fmt.Errorf("%q is not understood: forge %s takes no argument there (a prompt goes after -p, in quotes)", c.Args().First(), c.Command.Name)
	}
	return nil
}
