package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"forge/host"
	"forge/host/receipt"
	"forge/kernels"
	"forge/kernels/simd"
)

// kernelSet is the instruction set of a device's kernels.
func kernelSet(dev kernels.Device) string {
	if _, ok := dev.(simd.Device); ok {
		return simd.Rung()
	}
	return "go"
}

// takeReceipt has a request's tokens written down, and the model hashed meanwhile; done writes the file of --receipt.
func takeReceipt(c *cli.Context, s *session, req *host.Request) (done func(*host.Result) error) {
	path := c.String("receipt")
	if path == "" {
		return func(*host.Result) error { return nil }
	}
	r := receipt.New(s.Engine, req, s.plugins)
	r.Forge, r.Device, r.Kernels, r.Deterministic = version(), s.device.Name(), kernelSet(s.device), c.Bool("deterministic")
	r.CacheTypeK, r.CacheTypeV = c.String("cache-type-k"), c.String("cache-type-v")
	r.Model.File = c.String("model")
	hashed := make(chan error, 1)
	go func() {
		var err error
		r.Model.SHA256, r.Model.Bytes, err = receipt.Hash(r.Model.File)
		hashed <- err
	}()
	req.OnToken = r.Add
	return func(res *host.Result) error {
		r.Finish = res.Finish
		r.AddPlugins(s.Modules(), s.plugins)
		if err := <-hashed; err != nil {
			return fmt.Errorf("the receipt's model: %w", err)
		}
		text, err := r.Bytes()
		if err != nil {
			return err
		}
		return replaceFile(path, text)
	}
}

func replayCommand() *cli.Command {
	return &cli.Command{
		Name:  "replay",
		Usage: "run again what a receipt of forge run --receipt is of, and prove or disprove it",
		Description: "The model and every module must be those of the receipt, by sha256; the modules are looked for in the plugin set.\n" +
			"The exit status is 1 if the run is not the receipt's: the first difference is said.",
		ArgsUsage: "FILE",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "model", Aliases: []string{"m"}, Usage: "the GGUF `FILE`, where it is not where the receipt has it"},
			&cli.StringFlag{Name: "device", Usage: "auto, simd or scalar", DefaultText: "the receipt's"},
			&cli.IntFlag{Name: "threads", Aliases: []string{"t"}, Usage: "threads", DefaultText: "the processors that this process may use"},
			noMmapFlag,
			&cli.BoolFlag{Name: "verbose", Usage: "show what plugins log"},
		}, pluginFlags()...),
		Action: replayAction,
	}
}

func replayAction(c *cli.Context) error {
	if c.NArg() != 1 {
		return errors.New("name one receipt (see forge replay --help)")
	}
	r, err := receipt.Read(c.Args().First())
	if err != nil {
		return err
	}
	model := c.String("model")
	if model == "" {
		model = r.Model.File
		if _, err := os.Stat(model); err != nil {
			return fmt.Errorf("the receipt's model %s is not here: name the file with -m", model)
		}
	}
	if err := r.CheckModel(model); err != nil {
		return err
	}
	opt, err := replayOptions(c, r)
	if err != nil {
		return err
	}
	s, err := openWith(c, model, opt)
	if err != nil {
		return err
	}
	defer s.close()
	if here := kernelSet(s.device); here != r.Kernels {
		note("the receipt's kernels are %s on device %s, these are %s on device %s", r.Kernels, r.Device, here, s.device.Name())
	}
	verdict, err := r.Replay(c.Context, s.Engine)
	if err != nil {
		return err
	}
	fmt.Println(verdict)
	if !verdict.Proved() {
		return exitStatus(1)
	}
	return nil
}

// replayOptions are the receipt's, and of the command line those that cannot change a token.
func replayOptions(c *cli.Context, r *receipt.Receipt) (host.Options, error) {
	opt := host.Options{NCtx: r.Context, NBatch: r.Batch, Deterministic: r.Deterministic, Threads: c.Int("threads"), NoMmap: c.Bool("no-mmap")}
	name := c.String("device")
	if name == "" {
		name = r.Device
	}
	var err error
	if opt.Device, err = device(name); err != nil {
		return opt, err
	}
	if opt.Threads < 0 || opt.Threads > 1024 {
		return opt, fmt.Errorf("-t %d: give a number of threads from 1 to 1024", opt.Threads)
	}
	if opt.Threads == 0 {
		opt.Threads = simd.Threads()
	}
	if opt.KeyType, err = cacheType("cache-type-k", r.CacheTypeK, opt.Device); err != nil {
		return opt, err
	}
	if opt.ValueType, err = cacheType("cache-type-v", r.CacheTypeV, opt.Device); err != nil {
		return opt, err
	}
	set, err := pluginSet(c)
	if err != nil {
		return opt, err
	}
	opt.Plugins, err = r.Set(set)
	return opt, err
}
