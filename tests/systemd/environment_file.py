"""An environment file with everything that its grammar has, and what systemd makes of it."""

FILE = r"""# a comment \
C0=is still one
; another
A1=plain   
A2="double \" \\ \$ \` \n x"
A3='single \ "x" $y'
A4=one\
two
A5="multi
line"
A6=a"b"c
A7="a" 'b'c
A8=  lead
 A9 = spaced key
A10=x#y ;z
A11=esc\aped\\
NOEQ
1A=no name
A12=
A13=""
A1=last
A14="unterminated
"""
VALUES = {
    **{"A1": "last", "A2": 'double " \\ $ ` \\n x', "A3": 'single \\ "x" $y', "A4": "onetwo", "A5": "multi\nline"},
    **{"A6": 'a"b"c', "A7": "abc", "A8": "lead", "A9": "spaced key", "A10": "x#y ;z", "A11": "escaped\\", "A12": ""},
    **{"A13": "", "A14": "unterminated\n"},
}
