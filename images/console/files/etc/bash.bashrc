# Read by every interactive bash.
[ -z "$PS1" ] && return
shopt -s checkwinsize
PS1='[\u@\h \w]\$ '
alias ls='ls --color=auto'
alias ll='ls -l'
