package main

type rung struct{ name string }

var neon, dotProd = rung{"NEON"}, rung{"DotProd"}

func emitDots(*asm, rung)  {}
func emitPacks(*asm)       {}
func emitGemms(*asm, rung) {}
