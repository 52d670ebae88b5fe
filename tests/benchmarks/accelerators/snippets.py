"""HLO of small programs, in the form that the compilers write."""

# A loop over steps, whose number of turns is an argument, with a loop of 50
# turns in its body.
TPU = """HloModule jit_f, is_scheduled=true

%fused (param_0.1: f32[8,28]) -> f32[8,28] {
  %param_0.1 = f32[8,28]{1,0:T(8,128)} parameter(0)
  ROOT %add.1 = f32[8,28]{1,0:T(8,128)} add(%param_0.1, %param_0.1)
}

%chosen (param_0.2: f32[480,28], param_1.2: s32[8]) -> f32[8,28] {
  %param_0.2 = f32[480,28]{1,0:T(8,128)} parameter(0)
  %param_1.2 = s32[8]{0:T(128)} parameter(1)
  ROOT %gather.1 = f32[8,28]{1,0:T(8,128)} gather(%param_0.2, %param_1.2), offset_dims={1}, slice_sizes={1,28}
}

%inner_body (p.1: (s32[], f32[8,28])) -> (s32[], f32[8,28]) {
  %p.1 = (s32[]{:T(128)}, f32[8,28]{1,0:T(8,128)}) parameter(0)
  %i.1 = s32[]{:T(128)} get-tuple-element(%p.1), index=0
  %x.1 = f32[8,28]{1,0:T(8,128)} get-tuple-element(%p.1), index=1
  %fusion.9 = f32[8,28]{1,0:T(8,128)} fusion(%x.1), kind=kLoop, calls=%fused, backend_config={"window_config":{"estimated_cycles":"7"}}
  ROOT %tuple.1 = (s32[]{:T(128)}, f32[8,28]{1,0:T(8,128)}) tuple(%i.1, %fusion.9)
}

%inner_condition (p.2: (s32[], f32[8,28])) -> pred[] {
  %constant.50 = s32[]{:T(128)} constant(50)
  %p.2 = (s32[]{:T(128)}, f32[8,28]{1,0:T(8,128)}) parameter(0)
  %i.2 = s32[]{:T(128)} get-tuple-element(%p.2), index=0
  ROOT %compare.1 = pred[]{:T(512)} compare(%i.2, %constant.50), direction=LT
}

%body (p.3: (s32[], f32[8,28], /*index=2*/s32[])) -> (s32[], f32[8,28], s32[]) {
  %p.3 = (s32[]{:T(128)}, f32[8,28]{1,0:T(8,128)}, /*index=2*/s32[]{:T(128)}) parameter(0)
  %i.3 = s32[]{:T(128)} get-tuple-element(%p.3), index=0
  %x.3 = f32[8,28]{1,0:T(8,128)} get-tuple-element(%p.3), index=1
  %n.3 = s32[]{:T(128)} get-tuple-element(%p.3), index=2
  %fusion.1 = f32[8,28]{1,0:T(8,128)} fusion(%x.3), kind=kLoop, calls=%fused, metadata={op_name="jit(f)/while/body/vmap(transpose(jvp(SR2)))/sr/mul" stack_frame_id=7}, backend_config={"window_config":{"estimated_cycles":"100"}}
  %copy.1 = f32[8,28]{0,1:T(8,128)} copy(%fusion.1), backend_config={"window_config":{"estimated_cycles":"40"}}
  %tuple.2 = (s32[]{:T(128)}, f32[8,28]{1,0:T(8,128)}) tuple(%i.3, %copy.1)
  %while.1 = (s32[]{:T(128)}, f32[8,28]{1,0:T(8,128)}) while(%tuple.2), condition=%inner_condition, body=%inner_body, metadata={op_name="jit(f)/while/body/vmap(augmentation)/gather"}
  %y.3 = f32[8,28]{1,0:T(8,128)} get-tuple-element(%while.1), index=1
  %all-reduce.1 = f32[8,28]{1,0:T(8,128)} all-reduce(%y.3), replica_groups={{0,1}}, to_apply=%sum, metadata={op_name="jit(f)/while/body/psum"}
  ROOT %tuple.3 = (s32[]{:T(128)}, f32[8,28]{1,0:T(8,128)}, s32[]{:T(128)}) tuple(%i.3, %all-reduce.1, %n.3)
}

%sum (a: f32[], b: f32[]) -> f32[] {
  %a = f32[]{:T(128)} parameter(0)
  %b = f32[]{:T(128)} parameter(1)
  ROOT %add.2 = f32[]{:T(128)} add(%a, %b)
}

%condition (p.4: (s32[], f32[8,28], s32[])) -> pred[] {
  %p.4 = (s32[]{:T(128)}, f32[8,28]{1,0:T(8,128)}, s32[]{:T(128)}) parameter(0)
  %i.4 = s32[]{:T(128)} get-tuple-element(%p.4), index=0
  %n.4 = s32[]{:T(128)} get-tuple-element(%p.4), index=2
  ROOT %compare.2 = pred[]{:T(512)} compare(%i.4, %n.4), direction=LT
}

ENTRY %main (x: f32[480,28], order: s32[8], n: s32[]) -> f32[8,28] {
  %x = f32[480,28]{1,0:T(8,128)} parameter(0)
  %order = s32[8]{0:T(128)} parameter(1)
  %n = s32[]{:T(128)} parameter(2)
  %zero = s32[]{:T(128)} constant(0)
  %fusion.2 = f32[8,28]{1,0:T(8,128)} fusion(%x, %order), kind=kCustom, calls=%chosen, metadata={op_name="jit(f)/batch/gather"}, backend_config={"window_config":{"estimated_cycles":"3"}}
  %tuple.4 = (s32[]{:T(128)}, f32[8,28]{1,0:T(8,128)}, s32[]{:T(128)}) tuple(%zero, %fusion.2, %n)
  %while.2 = (s32[]{:T(128)}, f32[8,28]{1,0:T(8,128)}, s32[]{:T(128)}) while(%tuple.4), condition=%condition, body=%body, metadata={op_name="jit(f)/while"}
  ROOT %y.4 = f32[8,28]{1,0:T(8,128)} get-tuple-element(%while.2), index=1
}
"""  # noqa: E501

# A step without a loop: a convolution in six groups, a copy, a transpose, a
# matrix product, and a kernel of the optimizer.
GPU = """HloModule jit_g, is_scheduled=true

%fused_transpose (param_0: f32[8,4]) -> f32[4,8] {
  %param_0 = f32[8,4]{1,0} parameter(0)
  ROOT %transpose.1 = f32[4,8]{1,0} transpose(%param_0), dimensions={1,0}
}

%fused_add (param_0.3: f32[4,8]) -> f32[4,8] {
  %param_0.3 = f32[4,8]{1,0} parameter(0)
  ROOT %add.3 = f32[4,8]{1,0} add(%param_0.3, %param_0.3)
}

ENTRY %main (x: f32[8,4], w: f32[8,4]) -> f32[4,8] {
  %x = f32[8,4]{1,0} parameter(0)
  %w = f32[8,4]{1,0} parameter(1)
  %conv.1 = (f32[8,4]{1,0}, u8[16]{0}) custom-call(%x, %w), window={size=1}, dim_labels=bf_io->bf, feature_group_count=6, custom_call_target="__cudnn$convForward", metadata={op_name="jit(g)/vmap(jvp(SR2))/sr/conv"}
  %y = f32[8,4]{1,0} get-tuple-element(%conv.1), index=0
  %conv.2 = (f32[8,4]{1,0}, u8[16]{0}) custom-call(%y, %w), window={size=1}, dim_labels=bf_io->bf, custom_call_target="__cudnn$convBackwardFilter"
  %z = f32[8,4]{1,0} get-tuple-element(%conv.2), index=0
  %copy.2 = f32[8,4]{0,1} copy(%z)
  %product = f32[8,4]{1,0} custom-call(%copy.2), custom_call_target="__cublas$gemm"
  %fusion.3 = f32[4,8]{1,0} fusion(%product), kind=kInput, calls=%fused_transpose
  ROOT %fusion.4 = f32[4,8]{1,0} fusion(%fusion.3), kind=kLoop, calls=%fused_add, metadata={op_name="jit(g)/vmap(optimizer)/add"}
}
"""  # noqa: E501
