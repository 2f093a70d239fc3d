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
			fmt.Printf("simd    %s (--device simd, the default)\n", cpuName())
			for _, f := range simd.Describe() {
				fmt.Printf("  %-13s %s\n", f.About, f.Says)
			}
			fmt.Println("scalar  plain Go, defines every operation, slow (--device scalar)")
			return nil
		},
	}
}
