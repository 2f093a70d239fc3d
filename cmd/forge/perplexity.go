package main

import (
	"errors"
	"fmt"
	"math"

	"github.com/urfave/cli/v2"

	"forge/host"
)

func perplexityCommand() *cli.Command {
	return &cli.Command{
		Name:  "perplexity",
		Usage: "mean negative log-likelihood and perplexity of a text, and divergence from another device or file",
		Description: "Every token but the first is predicted from all before it.\n\n" +
			"  forge perplexity -m model.gguf -f text.txt\n" +
			"  forge perplexity -m model.gguf -f text.txt --against-device scalar --json",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "file", Aliases: []string{"f"}, Usage: "the text, a `FILE`; -: standard input", Required: true},
			&cli.StringFlag{Name: "against-device", Usage: "also compute on this device and give the divergence of --device from it"},
			&cli.StringFlag{Name: "against", Usage: "also compute with this GGUF `FILE` and give the divergence of -m from it"},
			&cli.BoolFlag{Name: "json", Usage: "print one JSON object"},
		}, engineFlags()...),
		Action: perplexityAction,
	}
}

type perplexityReport struct {
	Tokens     int       `json:"tokens"`
	MeanNLL    float64   `json:"mean_nll"`
	Perplexity float64   `json:"perplexity"`
	NLL        []float64 `json:"nll"`
	MeanKL     *float64  `json:"mean_kl,omitempty"`
	KL         []float64 `json:"kl,omitempty"`
	OtherNLL   *float64  `json:"other_mean_nll,omitempty"`
}

func perplexityAction(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	text, err := readText(c.String("file"))
	if err != nil {
		return err
	}
	s, err := open(c, 1)
	if err != nil {
		return err
	}
	defer s.close()
	ids, err := s.Tokenize(c.Context, text, true)
	if err != nil {
		return err
	}
	if len(ids) < 2 {
		return errors.New("the text has fewer than two tokens: there is nothing to predict")
	}
	var r perplexityReport
	if c.IsSet("against") || c.IsSet("against-device") {
		err = diverge(c, s, ids, &r)
	} else {
		err = s.Score(c.Context, ids, 0, func(pos int, logits []float32) error {
			if pos+1 < len(ids) {
				r.NLL = append(r.NLL, host.LogSumExp(logits)-float64(logits[ids[pos+1]]))
			}
			return nil
		})
	}
	if err != nil {
		return err
	}
	r.Tokens = len(r.NLL)
	r.MeanNLL, _ = meanStddev(r.NLL)
	r.Perplexity = math.Exp(r.MeanNLL)
	if c.Bool("json") {
		return printJSON(r)
	}
	fmt.Printf("tokens predicted  %d\nmean NLL          %.6f\nperplexity        %.4f\n", r.Tokens, r.MeanNLL, r.Perplexity)
	if r.MeanKL != nil {
		fmt.Printf("other mean NLL    %.6f\nmean KL           %.6f\n", *r.OtherNLL, *r.MeanKL)
	}
	return nil
}

// diverge fills a report from two engines side by side.
func diverge(c *cli.Context, s *session, ids []uint32, r *perplexityReport) error {
	path, dev := c.String("model"), c.String("device")
	if c.IsSet("against") {
		path = c.String("against")
	}
	if c.IsSet("against-device") {
		dev = c.String("against-device")
	}
	other, err := openFile(c, path, dev, 1)
	if err != nil {
		return err
	}
	defer other.close()
	var otherNLL []float64
	err = host.Divergence(c.Context, other.Engine, s.Engine, ids, func(_ int, kl, nllOther, nll float64) {
		r.KL, r.NLL, otherNLL = append(r.KL, kl), append(r.NLL, nll), append(otherNLL, nllOther)
	})
	if err != nil {
		return err
	}
	meanKL, _ := meanStddev(r.KL)
	meanOther, _ := meanStddev(otherNLL)
	r.MeanKL, r.OtherNLL = &meanKL, &meanOther
	return nil
}
