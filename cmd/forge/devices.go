package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"forge/kernels/simd"
)

func devicesCommand() *cli.Command {
	return &cli.Command{
		Name:  "devices",
		Usage: "list the devices, and what the processor offers them",
		Action: func(c *cli.Context) error {
			fmt.Printf("processor  %s, %d threads for this process\n", cpuName(), simd.Threads())
			fmt.Printf("simd       %s (--device simd, the default)\n", simd.Describe())
			fmt.Println("scalar     plain Go, defines every operation, slow (--device scalar)")
			return nil
		},
	}
}
