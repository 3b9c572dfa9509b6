#!/usr/bin/env python3
"""Generate the training corpus of the demo model: short children's stories.

Everything is written by a seeded grammar that lives in this file: a cast
(children, animals, grown-ups, a few robots and dragons), homes, weather,
objects with colors, and about forty plot families.  A plot family is a list
of beats; a beat is a list of sentence variants; a variant may hold inline
choices (``[happy|glad]``) and fields (``{a}``, ``{a.his}``, ``{o}``) that are
filled from the state of the story, so that the red ball stays red and the
pronouns stay right.  Only the Python standard library is used.

Output format: one story after the other, separated by one blank line;
paragraphs inside a story are separated by a single newline.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import re
import sys
from pathlib import Path

# --------------------------------------------------------------------------
# Cast
# --------------------------------------------------------------------------

GIRLS = [
    "Mia", "Anna", "Lily", "Rosa", "Emma", "Nora", "Ella", "Ruby", "Ivy", "Clara", "Lucy", "Zoe", "Maya", "Nina", "Tara", "Sara",
    "Lena", "Hana", "Amy", "Kate", "Molly", "Daisy", "Eva", "Ada", "Leah", "Alma", "Greta", "Elsa", "Wendy", "Poppy", "Hazel",
    "June", "Olive", "Pearl", "Stella", "Tina", "Uma", "Vera", "Willa", "Yuki", "Zara", "Bella", "Dora", "Fern", "Gwen", "Holly",
    "Juno", "Kira", "Luna", "Marta", "Penny", "Robin", "Suki", "Tilly", "Abby", "Agnes", "Aisha", "Alice", "Amber", "Amelia",
    "Anita", "April", "Aria", "Astrid", "Audrey", "Ava", "Beth", "Betty", "Camila", "Carmen", "Carol", "Celia", "Charlotte",
    "Chloe", "Claire", "Cora", "Dana", "Diana", "Edith", "Eleanor", "Elena", "Elise", "Eliza", "Elizabeth", "Emily", "Erin", "Esme",
    "Esther", "Fatima", "Fiona", "Flora", "Frida", "Gina", "Grace", "Hannah", "Harriet", "Heidi", "Helen", "Ida", "Ines", "Ingrid",
    "Irene", "Iris", "Isabel", "Jade", "Jane", "Jasmine", "Jenny", "Joan", "Josie", "Julia", "Kaya", "Laila", "Laura", "Leila",
    "Leni", "Linda", "Lisa", "Lola", "Lorna", "Louise", "Lydia", "Mabel", "Maria", "Mary", "Matilda", "Mei", "Mila", "Mina",
    "Miriam", "Nadia", "Naomi", "Nell", "Nelly", "Noor", "Paula", "Petra", "Phoebe", "Priya", "Rachel", "Rita", "Rosie", "Sadie",
    "Sally", "Selma", "Sofia", "Sophie", "Susan", "Sylvia", "Thea", "Trudy", "Violet", "Viola", "Yara",
]
BOYS = [
    "Tom", "Ben", "Sam", "Max", "Leo", "Finn", "Jack", "Noah", "Theo", "Oscar", "Hugo", "Milo", "Eli", "Adam", "Luke", "Owen",
    "Jake", "Tim", "Dan", "Nico", "Omar", "Ravi", "Ken", "Paul", "Peter", "Simon", "Victor", "Will", "Felix", "Ned", "Otto", "Rory",
    "Alan", "Bruno", "Carl", "David", "Emil", "Frank", "George", "Henry", "Ivan", "Joey", "Kai", "Liam", "Martin", "Neil", "Pedro",
    "Ray", "Toby", "Walter", "Zack", "Arlo", "Aaron", "Albert", "Alex", "Alfie", "Ali", "Andy", "Anton", "Archie", "Arthur", "Axel",
    "Barney", "Basil", "Billy", "Bobby", "Boris", "Caleb", "Charlie", "Chris", "Colin", "Daniel", "Dario", "Dennis", "Diego",
    "Eddie", "Edgar", "Edward", "Elias", "Eric", "Ernie", "Ethan", "Ezra", "Fred", "Gabriel", "Gavin", "Hans", "Harry", "Hassan",
    "Hector", "Henrik", "Howard", "Ian", "Isaac", "Jacob", "James", "Jamal", "Jasper", "Jim", "Joe", "John", "Jonas", "Jonah",
    "Jordan", "Joseph", "Josh", "Juan", "Julian", "Karim", "Karl", "Kevin", "Kurt", "Lars", "Lenny", "Leon", "Louis", "Lucas",
    "Malik", "Marco", "Mark", "Mason", "Mateo", "Matt", "Mike", "Morris", "Nathan", "Nick", "Nils", "Norman", "Oliver", "Olaf",
    "Pablo", "Percy", "Philip", "Quentin", "Ralph", "Rex", "Robert", "Rufus", "Samir", "Scott", "Seth", "Silas", "Stefan", "Steve",
    "Sven", "Ted", "Thomas", "Timmy", "Tobias", "Tony", "Tyler", "Vincent", "Warren", "Wilbur", "William", "Yusuf",
]
PET_NAMES = [
    "Pip", "Bramble", "Hopper", "Fuzzy", "Clover", "Button", "Nutmeg", "Pepper", "Biscuit", "Ginger", "Mossy", "Tumble", "Acorn",
    "Pebble", "Dusty", "Maple", "Sunny", "Twig", "Waffle", "Honey", "Cocoa", "Rusty", "Snowy", "Willow", "Bean", "Muffin", "Berry",
    "Cricket", "Dapple", "Echo", "Flick", "Gus", "Hickory", "Juniper", "Kip", "Misty", "Nibble", "Olly", "Patch", "Quill", "Rolo",
    "Skip", "Tansy", "Whisk", "Ziggy", "Banjo", "Basil", "Bella", "Biff", "Blossom", "Bobbin", "Bubbles", "Buttercup", "Caramel",
    "Chestnut", "Chip", "Cookie", "Copper", "Cotton", "Crumb", "Daisy", "Dandelion", "Domino", "Dot", "Feather", "Fidget",
    "Freckle", "Fudge", "Ginny", "Hazel", "Inky", "Jasper", "Jellybean", "Licorice", "Lulu", "Mango", "Marble", "Marshmallow",
    "Mittens", "Mocha", "Noodle", "Oats", "Olive", "Paddle", "Peach", "Peanut", "Petal", "Pickle", "Pippin", "Plum", "Poppy",
    "Puddle", "Pumpkin", "Raisin", "Ripple", "Rocket", "Rosie", "Saffron", "Scout", "Shadow", "Smoky", "Socks", "Spark", "Speckle",
    "Sprout", "Sugar", "Thistle", "Thumper", "Toffee", "Topaz", "Truffle", "Tulip", "Velvet", "Wiggle", "Wink", "Zip",
]
SYLL_A = [
    "Ba", "Be", "Da", "Do", "Fa", "Fi", "Ga", "Jo", "Ka", "Ki", "La", "Lo", "Ma", "Mo", "Na", "Ne", "Pa", "Po", "Ra", "Ri", "Sa",
    "So", "Ta", "Ti", "Va", "Wi", "Ya", "Zo", "Bri", "Cla", "Tre", "Flo",
]
SYLL_B = ["ra", "la", "na", "mi", "ri", "do", "ko", "ta", "vi", "li", "bo", "no", "sha", "len", "rin", "mel", "dan", "ro", "ni", "lo"]
SYLL_C = ["a", "o", "y", "ie", "en", "el", "in", "et", "ka", "na", "la"]

FOREST = [
    "fox", "rabbit", "bear", "mouse", "squirrel", "hedgehog", "owl", "deer", "badger", "otter", "frog", "duck", "mole", "raccoon",
    "beaver", "turtle", "wolf", "bunny", "hare", "weasel", "skunk", "chipmunk", "moose", "lynx", "marten", "toad", "crow", "robin",
    "sparrow", "woodpecker", "bat", "snail", "beetle", "ant", "bee", "caterpillar", "lizard", "swan", "boar",
]
FARM = [
    "cat", "dog", "puppy", "kitten", "hen", "pig", "goat", "lamb", "pony", "donkey", "goose", "cow", "chicken", "rooster", "sheep",
    "calf", "turkey", "horse", "hamster", "foal", "bull", "piglet", "duckling",
]
WILD = [
    "elephant", "lion", "monkey", "tiger", "giraffe", "penguin", "parrot", "zebra", "hippo", "koala", "panda", "camel", "kangaroo",
    "crocodile", "rhino", "leopard", "gorilla", "flamingo", "seal", "whale", "dolphin", "crab", "walrus", "buffalo", "ostrich",
    "snake", "toucan", "turtle", "octopus",
]
FANCY = [
    "robot", "dragon", "giant", "elf", "fairy", "wizard", "troll", "unicorn", "mermaid", "knight", "witch", "ghost", "snowman",
    "goblin", "doll", "teddy bear", "toy soldier", "ogre", "pirate", "astronaut", "princess", "prince",
]
WORKERS = [
    "baker", "fisherman", "farmer", "gardener", "king", "queen", "sailor", "tailor", "clockmaker", "miller", "shepherd", "painter",
    "astronaut", "pirate", "doctor", "teacher", "carpenter", "mailman", "cook", "captain", "musician", "blacksmith", "woman", "man",
    "woodcutter", "weaver", "potter", "librarian", "beekeeper", "soldier", "hunter", "inventor", "singer", "writer", "driver",
    "nurse", "merchant",
]
WINGS = {
    "owl", "duck", "hen", "goose", "penguin", "parrot", "crow", "robin", "sparrow", "woodpecker", "bat", "bee", "swan", "chicken", "rooster",
    "turkey", "duckling", "flamingo", "ostrich", "toucan",
}
HOOVES = {"deer", "goat", "lamb", "pony", "donkey", "cow", "zebra", "giraffe", "moose", "boar", "sheep", "calf", "horse", "foal", "bull", "camel", "unicorn", "buffalo"}

MALE = {"king", "wizard", "giant", "fisherman", "rooster", "bull", "snowman", "prince", "mailman", "man", "woodcutter", "ogre", "toy soldier"}
FEMALE = {"queen", "fairy", "hen", "cow", "mermaid", "witch", "doll", "princess", "woman", "chicken"}

YOUNG_ADJ = [
    "little", "small", "young", "curious", "kind", "brave", "shy", "cheerful", "clever", "gentle", "quiet", "playful", "friendly",
    "thoughtful", "lively", "tiny", "happy", "lonely", "silly", "polite", "patient", "dreamy", "stubborn", "honest", "sleepy", "bold",
]
OLD_ADJ = ["old", "old", "old", "kind old", "wise old", "gentle old", "cheerful old", "tired old", "lonely old", "friendly old", "clever old", "very old"]

HOMES = {
    "child": [
        "in a small house near the woods", "in a quiet village by the sea", "in a busy town by the river",
        "on a farm at the foot of a green hill", "in a little cottage by the lake", "in a tall house on a narrow street",
        "in a yellow house with a big garden", "in a small town between two hills", "in a village high in the mountains",
        "in a red house on the edge of town", "in a big city full of lights", "in a tiny village in the desert", "on a small island",
        "in a noisy house with many brothers and sisters", "next to a little park", "near the old railway station", "by the river",
        "in a valley where the apples grew", "on the top floor of a very tall house", "in an old mill by the stream", "near the edge of the world",
        "at the end of a long and dusty road", "above a bakery in the middle of town", "in a white house near the harbor",
    ],
    "forest": [
        "in a hollow tree", "in a cozy burrow under the hill", "at the edge of a deep forest", "beside a clear pond",
        "under the roots of an old oak tree", "in a quiet valley full of flowers", "deep in the forest",
        "near a bend in the river", "in a little den between the rocks",
        "in the middle of the woods", "behind a big waterfall", "in an old garden behind a stone wall", "at the foot of a mountain",
        "in the shade of a tall pine tree", "under a bridge", "by a small stream", "on the sunny side of the hill", "in the deep, dark woods",
    ],
    "farm": [
        "on a farm at the foot of a green hill", "in a warm barn full of hay", "on a little farm near the river",
        "in a quiet village by the sea", 
        "next to a field of yellow flowers", "in a small stable", "on a busy farm with many animals", "in a garden full of cabbages",
        "behind an old red barn", "on a windy farm by the lake",
    ],
    "wild": [
        "in a land far away", "beside a wide blue river", "near a waterhole under the tall trees",
        "near the warm sea", "in the tall grass", "by a quiet bay", "where the mountains meet the sea", "far away in the south",
        "on a green island", "in a valley where the sun always shone", "at the edge of the jungle",
    ],
    "fancy": [
        "in an old lighthouse by the sea", "in a crooked tower on a hill", "in a dusty workshop at the edge of town",
        "in a castle above the clouds", "on a small round moon", "in a big old castle", "on an island in the middle of the sea",
        "in a forgotten garden", "in a toy shop in the city", "under a stone bridge", "at the end of the rainbow",
        "in a cave high in the mountains", "deep in the forest", "in a small house made of stones",
        "in a land far away", "in a quiet village by the sea",
    ],
    "worker": [
        "by the harbor", "in a house full of books", "next to the market", "in a big city full of lights", "at the end of a long road",
        "on a hill above the town", "near the old railway station", "in a small wooden house", "in a kingdom by the sea",
        "in a quiet village by the sea", "in a small town between two hills", "in a little cottage by the lake",
        "in a village high in the mountains", "in a land far away", "in a tall house on a narrow street",
    ],
}
HOBBIES = [
    "sing", "explore", "draw pictures", "count the stars", "listen to stories", "climb trees", "collect smooth stones",
    "ask questions", "watch the clouds", "make new friends", "play by the river", "dance in the wind", "look for shells",
    "build things", "whistle happy songs", "pick flowers", "tell jokes", "help others", "bake little cakes", "watch the stars",
    "tell stories", "look at old maps", "walk in the rain", "count things", "play the drum", "sleep in the sun",
    "run through the grass", "read about faraway lands", "fix broken things", "watch the ships", "talk to the birds",
    "ride down the hill", "swim in the lake", "grow vegetables", "look for mushrooms", "make up new words", "paint pictures",
    "play tricks", "wear funny hats", "laugh at silly things", "think about big questions", "dream of the sea", "jump over puddles",
    "catch the wind", "write little poems", "feed the ducks", "watch the snow fall", "play hide and seek",
]

COLORS = ["black", "gray", "red", "blue", "green", "yellow", "orange", "purple", "white", "silver", "golden", "pink", "brown"]
TOYS = [
    "ball", "kite", "hat", "scarf", "drum", "boat", "bell", "cup", "whistle", "lantern", "basket", "umbrella", "ribbon", "button",
    "box", "book", "coat", "key", "top", "marble", "spoon", "mirror", "bottle", "candle", "compass", "feather", "flute", "puppet",
    "blanket", "pillow", "pencil", "bag", "mitten", "clock", "cart", "necklace", "map", "shell", "stone", "ring", "jar", "teapot",
    "watch", "bucket", "flag", "crown", "doll", "train", "wheel", "ladder",
]
OBJ_ADJ = ["lovely", "small", "funny", "striped", "pretty", "special", "little", "old", "shiny", "wooden", "tiny", "round", "soft", "big"]
SOFT = {"hat", "scarf", "ribbon", "coat", "blanket", "pillow", "mitten", "flag", "feather", "map", "kite"}

WX = {
    "out": ["sunny", "warm", "windy", "bright", "breezy", "cool", "cloudy", "clear", "fine"],
    "in": ["sunny", "warm", "windy", "bright", "rainy", "cold", "cloudy", "gray", "chilly", "rainy", "foggy", "quiet"],
    "rain": ["rainy", "rainy", "gray", "wet", "stormy"],
    "storm": ["cloudy", "gray", "windy", "dark", "stormy"],
    "snow": ["snowy", "cold", "icy", "white", "frosty"],
    "night": ["quiet", "clear", "cool", "warm", "still"],
}
WX_LINE = {
    "sunny": ["The sun was shining and the sky was blue.", "The sun was warm on the [grass|roof|road]."],
    "warm": ["The air was [soft|sweet] and warm.", "Bees hummed in the flowers."],
    "windy": ["The wind pushed the clouds across the sky.", "The wind [danced|played] in the leaves."],
    "bright": ["The whole world seemed to shine.", "Birds were singing in every tree."],
    "breezy": ["A soft breeze moved the grass.", "The leaves whispered in the breeze."],
    "cool": ["The air was fresh and clean.", "There was dew on the grass."],
    "cloudy": ["Soft gray clouds covered the sky.", "The sun was hiding behind the clouds."],
    "clear": ["There was not one cloud in the sky.", "The sky was clear and blue."],
    "fine": ["It was a perfect day to be outside.", "The birds were singing."],
    "rainy": ["Rain tapped on the [roof|leaves].", "The rain made little puddles everywhere.", "Drops of rain fell from the gray sky."],
    "wet": ["Everything was wet, and the puddles were deep.", "The rain would not stop."],
    "gray": ["The sky was gray and heavy.", "Gray clouds hung low over the hills."],
    "stormy": ["Thunder rumbled far away.", "Dark clouds rolled over the hills."],
    "dark": ["Black clouds filled the sky.", "The sky grew darker and darker."],
    "cold": ["The air was cold and still.", "A cold wind blew from the north."],
    "chilly": ["The air was chilly.", "It was a good day for a warm coat."],
    "foggy": ["Fog covered everything like a soft blanket.", "The fog was so thick that the trees looked like ghosts."],
    "quiet": ["Everything was quiet and still.", "Not a sound could be heard."],
    "snowy": ["Snow covered the ground.", "Big white flakes fell from the sky."],
    "icy": ["The pond was covered with ice.", "Icicles hung from every branch."],
    "white": ["The whole world was white with snow.", "Snow lay on every branch."],
    "frosty": ["Frost sparkled on the grass.", "Every branch was covered with frost."],
    "still": ["The stars were bright.", "The moon was round and bright."],
}


class Being:
    """A character: every attribute is text that a template can use."""

    def __init__(self, name: str, kind: str, gender: str, adj: str, group: str, named: bool = True):
        self.name, self.kind, self.adj, self.group, self.named = name, kind, adj, group, named
        self.N = cap(name)
        self.he, self.him, self.his = ("he", "him", "his") if gender == "m" else ("she", "her", "her")
        self.He, self.His = cap(self.he), cap(self.his)
        self.self = "himself" if gender == "m" else "herself"
        self.v = name if named else name.removeprefix("the ")
        self.hands = "wings" if kind in WINGS else "hooves" if kind in HOOVES else "claws" if kind == "dragon" else "paws"
        if group in ("child", "worker", "fancy") and kind != "dragon":
            self.hands = "hands"
        self.full = an(f"{adj} {kind}")
        self.intro = name
        self.new = name

    def __str__(self) -> str:
        return self.name


class Thing:
    """An object with one fixed property."""

    def __init__(self, adj: str, noun: str):
        self.noun, self.adj = noun, adj
        self.a = an(f"{adj} {noun}")

    def __str__(self) -> str:
        return f"{self.adj} {self.noun}"


def cap(text: str) -> str:
    """Upper-case the first letter."""
    return text[:1].upper() + text[1:]


def an(phrase: str) -> str:
    """Put the right indefinite article before a phrase."""
    return ("an " if phrase[0] in "aeiouAEIO" or phrase.startswith("honest") else "a ") + phrase


# --------------------------------------------------------------------------
# Openings and endings
# --------------------------------------------------------------------------

# G = says nothing about a certain day; the plot then begins with "One day".
OPEN_GENERIC = """
Once upon a time, there was {a.full} named {a}. {a.He} lived {home}.
Once upon a time, there was {a.full} [named|called] {a} who lived {home}.
Once upon a time, {home}, there lived {a.full} named {a}.
Once upon a time, {a.full} named {a} lived {home}. {a.He} loved to {hobby}.
Once there was {a.full} named {a} who loved to {hobby}.
There once was {a.full} named {a}. {a.He} lived {home}, and {a.he} loved to {hobby}.
Long ago, {home}, there lived {a.full} named {a}.
Long, long ago, there was {a.full} named {a}.
{home}, there lived {a.full} named {a}. {a.He} loved to {hobby}.
{home} lived {a.full} named {a}.
{home}, there was {a.full} called {a}. [Everyone|Everybody] [knew|liked] {a.him}.
{a} was {a.full} who lived {home}.
{a} was {a.full} who loved to {hobby}.
{a} was {a.full}. {a.He} lived {home}, and {a.he} was always [busy|cheerful|kind to others|full of ideas].
{a} the {a.kind} lived {home}. {a.He} liked to {hobby} and to {hobby2}.
{a} lived {home}. Every [day|morning], {a.he} liked to {hobby}.
Every morning, {a} the {a.kind} [woke up early|looked out of the window|greeted the sun] and [smiled|sang a song|stretched].
The {a.adj} {a.kind} lived {home}. {a.His} name was {a}.
Far away, {home}, there lived {a.full}. {a.His} name was {a}, and {a.he} loved to {hobby}.
This is the story of {a}, {a.full} who lived {home}.
Nobody {home2} was quite like {a}, the {a.adj} {a.kind}.
Everyone knew {a}, the {a.adj} {a.kind} who loved to {hobby}.
There was once {a.full}, and {a.his} name was {a}.
There was {a.full} in the [land|north|south] who was called {a}.
If you had come {home2v}, you would have met {a}, {a.full} who loved to {hobby}.
Some people like to {hobby2}. But {a}, {a.full}, liked to {hobby}.
Somewhere [in the world|far from here], {home}, there lived {a.full} named {a}.
Not far from here, {home}, there lived {a.full} named {a}.
Many years ago, {a.full} named {a} lived {home}.
Have you ever heard of {a}? {a.He} was {a.full} who lived {home}.
"""
OPEN_UNNAMED = """
{a} lived {home}. {a.He} loved to {hobby}.
{a} lived all alone {home}.
Once upon a time, {a.full} lived {home}.
Once upon a time, there was {a.full} who loved to {hobby}.
There once was {a.full} who lived {home}.
{home}, there lived {a.full}. {a.He} loved to {hobby}.
{a} was known [all over the land|by everyone] because {a.he} loved to {hobby}.
{a} had lived {home} for [many years|as long as anyone could remember].
{a} liked to {hobby}, but most of all {a.he} liked to {hobby2}.
{a} was [busy|happy|lonely]. {a.He} lived {home}.
{a} had a [small|cozy|quiet] home. It was {home}.
{a} was not like the others. {a.He} loved to {hobby}.
Somewhere [in the world|far from here], {home}, there lived {a.full}.
Not far from here, {home}, there lived {a.full}.
Many years ago, there was {a.full} who lived {home}.
Long ago, {a.full} lived {home} and loved to {hobby}.
"""
OPEN_FRIENDS = """
{a} and {b} were best friends. They liked to {hobby} together.
Once upon a time, there were two friends named {a} and {b}. They lived {home}.
{a} and {b} lived {home}. They did everything together.
{home} lived two good friends, {a} and {b}.
{a} was {a.full}, and {b} was {b.full}. They were the best of friends.
"""
OPEN_DAY = """
One {wx} {tod}, {a} {woke}.
One {wx} {tod}, {a} the {a.kind} {woke}. {wxline}
One {wx} {tod} in {season}, {a} {woke}.
It was a {wx} {tod} in {season}. {wxline} {a}, {a.full}, {woke}.
It was a {wx} {tod}. {wxline} {a} {woke}.
It was a {wx} {tod}, and {a} the {a.kind} had nothing to do.
On a {wx} {tod} in {season}, {a} the {a.kind} {woke}.
{wxline} {a} the {a.kind} {woke}.
{wxline} It was a {wx} {tod}, and {a} was [already awake|in a good mood|ready for anything].
On the [first|last] day of {season}, {a} {woke}.
Last {season}, something [happened|special happened] to {a}, {a.full} who lived {home}. It was a {wx} {tod}.
"What a {wx} {tod}!" said {a} the {a.kind}. {a.He} {woke}.
{a} the {a.kind} {woke}. {wxline}
{a} the {a.kind} {woke}. It was a {wx} {tod}.
When {a} the {a.kind} {woke}, it was a {wx} {tod} in {season}.
It had been a long {season}. One {wx} {tod}, {a} the {a.kind} {woke}.
{a} sat [in front of {a.his} home|by the window|under a tree] and {dozed}. It was a {wx} {tod}.
"""
OPEN_DAY_UNNAMED = """
One {wx} {tod}, {a} {woke}.
It was a {wx} {tod} in {season}. {wxline} {a} {woke}.
{wxline} {a} {woke}.
{a} {woke} on a {wx} {tod} in {season}.
{a} {woke}. It was a {wx} {tod}.
{a} {woke}. {wxline}
{a} sat [in front of {a.his} home|by the window|under a tree] and {dozed}. It was a {wx} {tod}.
On the [first|last] day of {season}, {a} {woke}.
When {a} {woke}, it was a {wx} {tod}.
"""
WOKE = [
    "woke up [early|with a smile|and stretched]", "looked out of the window", "went outside", "opened the door and looked around",
    "sat down to think", "had a good idea", "could not sit still", "was ready for an adventure", "ate a quick breakfast",
    "hummed a little song", "put on {a.his} [coat|boots|hat]",
]
WOKE_ANIMAL = [
    "woke up [early|with a smile|and stretched]", "looked up at the sky", "went outside", "came out and looked around",
    "sat down to think", "had a good idea", "could not sit still", "was ready for an adventure", "ate a quick breakfast",
    "hummed a little song", "went for a walk",
]

DETAIL = """
{a.He} had [bright|big|kind|dark|green] eyes and a [loud|warm|soft] laugh.
{a.He} was not very big, but {a.he} had a big heart.
{a.He} always carried a {color} bag.
{a.He} wore a {color} [hat|scarf] every day, [even in summer|even in bed|and it was much too big].
Everyone liked {a.him} because {a.he} was so [kind|funny|helpful|honest].
{a.He} had many dreams, but {a.he} told nobody about them.
Most days were quiet, and {a.he} liked it that way.
{a.He} did not have much, but {a.he} was happy.
{a.He} had a lot of time and a lot of ideas.
{a.He} asked a hundred questions every day.
Sometimes {a.he} felt a little lonely.
{a.He} was never bored.
There was always something new to see.
{a.He} knew every path and every tree.
{a.His} favorite color was {color}.
{a.His} favorite time of the year was {season2}.
{a.He} liked {taste} more than anything.
{a.He} could not sit still for a minute.
{a.He} was afraid of nothing, or almost nothing.
{a.His} home was small, but it was always full of [laughter|light|music|friends].
"""
END_DAY = """
That night, {a} fell asleep with a smile.
That night, {a} slept [very well|better than ever].
When the sun went down, {a} was [tired but happy|still smiling].
In the evening, {a} [told {g} all about it|sat by the fire and smiled|thought about the day and smiled].
The sun went down, and the stars came out one by one. It had been a [good|wonderful|fine] day.
It was a day that {a} would always remember.
{a} went to bed early that night and dreamed of [the sea|the stars|tomorrow|cake].
And if you listen well, you can still hear {a} laugh.
What a day it had been!
{a} smiled all the way home.
"Today was a good day," said {a}.
"What will tomorrow bring?" {a} wondered.
The moon came up, and everything was well.
At home, {a} drew a picture of it and put it on the wall.
{a} [never forgot|always remembered] that day.
And {a} was very, very happy.
{a} could not wait for tomorrow.
"""

# --------------------------------------------------------------------------
# Plots.  Mini language, one plot after another:
#   # name; key=value; ...       header (wx, b=friend|new|none, o=1, young=1, night=1, groups=...)
#   $ x,y: v1 ; w1 || v2 ; w2    slots chosen together, once per story
#   - text                       a variant; consecutive variants form a beat
#   ?0.5                         before a beat: chance that it is told
#   %                            paragraph break
#   blank line                   ends a beat
# --------------------------------------------------------------------------

PLOTS_TEXT = r'''
# lost; wx=in; b=friend; o=1
$ s1,s2,found: under the bed ; behind the door ; inside {a.his} own bag || behind the old chair ; under the table ; on top of the shelf || in the kitchen ; in the garden ; under a pile of leaves || near the well ; by the gate ; in the branches of a tree || under the bench ; near the pond ; in the tall grass || in the shed ; behind the fence ; under a big bush

?0.7
- {a.He} had {o.a} that {a.he} loved more than anything.
- {a.His} favorite thing in the world was {o.a}.
- {a.He} took {a.his} {o} everywhere.
- {g} had once given {a.him} {o.a}, and {a.he} took good care of it.
- Of all the things {a.he} had, {a.he} liked {a.his} {o} best.
- {a} would not go anywhere without {a.his} {o}.

%
- {oneday}{a} could not find {a.his} {o}.
- {oneday}{a.his} {o} was gone.
- {oneday}{a} [reached for|looked for] {a.his} {o}, but it was not there.
- {oneday}{a} wanted to play with {a.his} {o}, but {a.he} could not find it anywhere.

- "Where is my {o.noun}?" {a.he} [cried|asked|said].
- "Oh no!" said {a}. "I have lost my {o}!"
- {a.He} felt [sad|worried|like crying]. "I must find it," {a.he} said.
- {a} [wanted to cry|was very sad], but {a.he} knew that crying would not help.
- {a.His} heart sank. Where could it be?
- "This cannot be," {a.he} said. "I had it only yesterday."

- {a.He} looked {s1}, but it was not there. {a.He} looked {s2}, but it was not there either.
- First {a.he} looked {s1}. Then {a.he} looked {s2}. There was no {o.noun} anywhere.
- {a.He} searched {s1} and {s2}, but {a.he} found [only dust|nothing at all|only an old spoon].
- {a.He} turned everything upside down. It was not {s1}, and it was not {s2}.
- Was it {s1}? No. Was it {s2}? No, it was not there either.

%
- Then {b.intro} came by. "Why do you look so sad?" asked {b}.
- {b.intro} saw that {a} was upset. "What is wrong?" {b.he} asked.
- Just then, {b.intro} came along. "Can I help you?" asked {b}.
- {a} ran to {b.intro}. "Please help me!" {a.he} said.

- "I lost my {o}," said {a}. "Will you help me look for it?"
- "My {o} is gone," {a} said. "I have looked everywhere."
- {a} told {b} about the {o}.
- "It is my {o}," said {a}, and {a.his} voice was shaking. "I cannot find it."

- "Let us think," said {b}. "Where did you play yesterday?"
- "Do not worry," said {b}. "Four eyes see more than two."
- "Of course I will help," said {b}. "We will find it together."
- "When did you last see it?" asked {b}. "Yesterday, before dinner," said {a}.
- {b} thought hard. "I have an idea," {b.he} said. "Come with me."

- They looked [high and low|for a long time|in every corner]. At last, {b} looked {found}, and there was the {o}!
- Together they searched again. Suddenly {a} shouted, "I see it!" The {o} was {found}.
- They walked slowly and looked carefully. And there, {found}, was the {o}!
- {b} went left, and {a} went right. "Here!" called {b} at last. The {o} was {found}.
- {b} remembered something. They ran and looked {found}. The {o} had been there all the time!

%
- {a} hugged {b}. "Thank you! You are a true friend."
- "You found it!" cried {a}. {a.He} [jumped|danced] with joy.
- {a} held the {o} tight. "Thank you for helping me," {a.he} said.
- {a} could hardly believe it. {a.He} laughed out loud and thanked {b} again and again.

- From then on, {a} always put the {o} [in the same place|back where it belonged].
- After that, {a} and {b} played with the {o} until [dinner|the sun went down|it was time to go home].
- {a} learned that a problem is smaller when a friend helps.
- "Next time, I will be more careful," said {a}.
- To say thank you, {a} let {b} play with the {o} all afternoon.
- And from that day on, the {o} never got lost again.

# help; wx=out; b=none
$ who,He,he,him,his: an old woman ; She ; she ; her ; her || an old man ; He ; he ; him ; his || the old goat ; He ; he ; him ; his || the old hen ; She ; she ; her ; her
$ load,home3: a heavy basket of apples ; up the hill || a big bag of potatoes ; across the bridge || a bundle of firewood ; through the woods || a sack of flour ; to the mill || a box full of books ; to the top of the hill

%
- {oneday}{a} was walking down the road when {a.he} saw {who} with {load}.
- {oneday}{a} met {who} on the path. {He} was carrying {load}.
- {oneday}{a} was on the way to a friend. Then {a.he} saw {who}, who stood by the road with {load}.
- {oneday}{a} wanted to go and play. On the way, {a.he} saw {who} who could hardly carry {load}.

- {He} had to stop and rest every few steps.
- {He} looked very tired.
- {His} back hurt, and the road was long.
- {He} took two steps, stopped, and sighed.
- Nobody else stopped to help.

- "May I help you?" asked {a}.
- "That looks heavy," said {a}. "Let me carry it for you."
- "Wait!" called {a}. "You should not carry that alone."
- {a} thought about {a.his} game, but then {a.he} thought about how tired {he} was. "I will help you," {a.he} said.

- "How kind of you!" {he} said. "I have to carry this {home3}."
- "Oh, thank you," {he} said. "I must bring it {home3}, and my legs are old."
- "Bless you," {he} said. "It has to go {home3} before dark."

- So they went {home3} together. It was [hard work|a long way], but {a} did not give up.
- {a} took the load and walked {home3}. {a.His} {a.hands} hurt, but {a.he} kept going.
- Step by step, they went {home3}. {a} had to rest two times, but {a.he} did not complain.

?0.6
- On the way, they talked and laughed, and the road did not seem so long.
- They sang a song to make the walk [easier|shorter].
- {He} told {a.him} stories about the old days.

%
- When they got there, {he} gave {a.him} [a warm piece of bread|a sweet red apple|a cup of hot milk|a little cake]. "This is for your kind heart," {he} said.
- At last they were there. "You are a good helper," {he} said, and {he} gave {a.him} [a jar of honey|a bag of nuts|a warm cookie].
- At the end of the road, {he} smiled. "I have nothing to give you but my thanks," {he} said. "That is more than enough," said {a}.

- {a} ran home [with a light heart|feeling proud]. Helping had been more fun than playing.
- From that day on, {a} visited {him} every week.
- {a} learned that a little help can mean a lot.
- That evening, {a} was too late for the game, but {a.he} did not mind.
- When {g} heard about it, {g.he} was proud of {a}.
- "I am glad that I stopped," thought {a}.

# share; wx=in; b=friend
$ food,it,one: a big apple pie ; it ; piece || a basket of berries ; it ; handful || a loaf of warm bread ; it ; slice || a bag of nuts ; it ; handful || a round cake with cream ; it ; piece || a bowl of cherries ; it ; handful || a pot of soup ; it ; bowl

%
- {oneday}{g} gave {a} {food}.
- {oneday}{a} had {food}, and {a.he} was very hungry.
- {oneday}{a} found {food} on the table. It was a gift from {g}.

- "This is all for me!" said {a}.
- It [smelled wonderful|looked delicious]. {a} sat down to eat it all alone.
- {a} wanted to eat it all. {a.He} hid behind a tree so that nobody would see.
- "I will not give anything to anyone," thought {a}.

- Then {b.intro} came by. {b.He} looked [hungry|thin and tired|sad].
- Just then, {b.intro} came along. {b.His} stomach made a loud noise.
- Soon {b.intro} came and sat down nearby. {b.He} had nothing to eat.

- "That smells good," said {b} softly. "I have not eaten all day."
- "Hello, {a.v}," said {b}. "What do you have there?"
- {b} did not ask for anything. {b.He} only looked at the ground.
- "Is that for you alone?" asked {b} with big eyes.

%
- {a} looked at the food, and then {a.he} looked at {b}. {a.He} thought for a moment.
- At first, {a} did not want to share. But then {a.he} felt [bad|a little ashamed].
- {a} remembered a day when {a.he} had been hungry too.
- {a} took one bite, but it did not taste so good anymore.
- "It is mine," thought {a}. But then {a.he} saw how thin {b} looked.

- "Please sit with me," said {a}. "There is enough for two."
- "Would you like a {one}?" asked {a}.
- {a} gave {b} a big {one}. "Here, this is for you," {a.he} said.

- {b}'s [eyes lit up|face became bright]. "Thank you!" {b.he} said.
- "Really?" asked {b}. "You are so kind!"
- {b} smiled for the first time that day. "I will never forget this," {b.he} said.

- They ate and laughed together, and it tasted better than ever.
- They sat side by side and ate every crumb.
- Soon everything was gone, but {a} did not mind at all.
- They told each other stories while they ate, and the time flew by.

%
- The next day, {b} came back with [a jar of honey|a bunch of flowers|a bag of plums]. "Now I want to share with you," {b.he} said.
- "Tomorrow I will bring something for you," {b} promised, and {b.he} did.
- {a} learned that food tastes best when it is shared.
- After that, they always shared what they had.
- "It is strange," thought {a}. "I have less now, but I feel that I have more."
- {g} saw it all and smiled.

# build; wx=out; b=friend
$ thing,stuff,end,trouble: a tree house ; old boards and nails ; sat in it and looked out over the land ; a board cracked in two || a raft ; logs and rope ; floated down the river ; one rope broke || a sandcastle ; wet sand and shells ; put a flag on the highest tower ; a wave washed one side away || a birdhouse ; wood and a little paint ; watched a bird move in ; the roof fell off || a bridge over the stream ; stones and branches ; walked across it without getting wet ; the first stones rolled away || a little hut ; branches and leaves ; sat inside while the wind blew ; the wall fell down || a swing ; a rope and a board ; flew high into the air ; the knot came loose || a kite ; paper and thin sticks ; watched it dance in the sky ; the paper tore

%
- {oneday}{a} [said|decided], "I want to build {thing}!"
- {oneday}{a} had an idea. {a.He} wanted to build {thing}.
- {oneday}{a} asked {b.intro}, "Shall we build {thing}?" {b} thought that was a great idea.

- They needed {stuff}. It took [all morning|a long time] to find everything.
- First they looked for {stuff}. {b} found the best pieces.
- "We need {stuff}," said {b}, and they [ran|went] to look for them.

- {a} held everything in place while {b} worked. Then they changed places.
- They worked hard. {a} made a plan, and {b} followed it step by step.
- Bit by bit, it grew.
- They measured, and they tied, and they laughed when something fell down.
- All day long, you could hear them [talk|laugh] and work.

- Then {trouble}. "Oh no!" said {a}.
- But suddenly {trouble}. {a} sat down and sighed. "It will never work."
- They were almost done when {trouble}.

%
- "Do not give up," said {b}. "We can try again."
- {b} laughed. "Now we know what not to do," {b.he} said.
- "Maybe we were too fast," said {b}. "Let us think first."
- {a} took a deep breath. "Let us do it better this time," {a.he} said.

- So they started over, [slowly and carefully|and this time they took more care].
- {g} showed them [a better way|a little trick], and they tried again.

- At last, {thing2} was finished. It was [not perfect|a little crooked], but it was [theirs|strong].
- When the sun was low, {thing2} was ready.
- And then the last piece was in place. {thing2} was done!

- They {end}.
- They {end}, and they felt like the [king and queen of the world|luckiest friends in the world].
- "We did it!" they shouted. Then they {end}.

?0.7
- {a} learned that good things take time.
- "We make a good team," said {a}.
- "Tomorrow we will build something even bigger," said {b}.
- {g} came to see it and clapped. "How clever you two are!" {g.he} said.
- From that day on, it was their favorite place.

# fear; wx=in; b=none; young=1
$ fear,when,lesson: the dark ; every night, when the lamp went out ; the dark was only the day with its eyes closed || deep water ; every time the others went swimming ; the water could hold {a.him} up || thunder ; every time a storm came ; thunder was only noise || high places ; every time the others climbed the hill ; it was easier to look up than to look down || big dogs ; every time {a.he} walked past the gate ; the dog only wanted to play || talking to strangers at school ; every time someone said hello ; a smile is a good first word

- But {a} had a secret. {a.He} was afraid of {fear}.
- There was one thing that {a} did not like. {a.He} was afraid of {fear}.
- {a} was brave about most things, but {a.he} was afraid of {fear}.

- {a.His} heart beat fast {when}.
- {a.His} stomach felt funny {when}.
- {a.He} pretended that nothing was wrong, but {a.his} knees shook {when}.
- {a.He} wanted to hide {when}.

%
- {oneday}{a} told {g} about it. "I am scared," {a.he} [said|whispered].
- {oneday}{g} found {a} hiding in a corner. "What is the matter?" asked {g}. "I am scared," {a.he} said.

- "Everyone is afraid of something," said {g}. "When I was small, I was afraid of [spiders|the wind|my own shadow]."
- {g} did not laugh. "Being brave does not mean that you are never afraid," {g.he} said. "It means that you try anyway."
- "Let us try together," said {g}. "We will take one small step."
- {g} sat down and listened. "Do you want to know a secret?" {g.he} asked. "I was afraid of the same thing once."

- {g} took {a.him} by the hand, and they [counted to ten|took three deep breaths].
- "Hold my hand and breathe slowly," said {g}. {a} closed {a.his} eyes and [breathed|counted to ten].

- {a} took one small step, and then another. Nothing bad happened.
- {a.His} knees were shaking, but {a.he} did not run away.
- It was hard at first. But [after a while|little by little], {a.his} heart grew calm.
- "One, two, three," counted {a}. {a.He} opened {a.his} eyes. Nothing terrible had happened.

%
- "I did it!" {a.he} said. {a.He} found out that {lesson}.
- Soon {a} began to smile. {a.He} learned that {lesson}.
- "It is not so bad," said {a}. Now {a.he} knew that {lesson}.

- {g} was [very proud|so proud] of {a.him}.
- "You were very brave today," said {g}.
- {a} stood tall. {a.He} felt as strong as a lion.
- After that, {a} was still a little afraid sometimes, but {a.he} always tried.
- From that day on, {a} helped [others|small children|{a.his} friends] who were afraid.

# party; wx=in; b=friend
$ gift: a cake with candles || a card with a big heart || a crown made of flowers || a song that they all sang together || a box with a bow on it || a big picture that everyone had painted

%
- {oneday}it was {a}'s birthday, but nobody said a word about it.
- {oneday}{a} woke up and smiled. It was {a.his} birthday! But nobody seemed to remember.
- {oneday}{a} was very excited, because it was {a.his} birthday.

- {a.He} went to see {b.intro}. "I am too busy to play today," said {b}, and closed the door.
- {a.He} asked {b.intro} to play. "Not today," said {b}, and {b.he} ran away quickly.
- {a.He} met {b.intro}, but {b} only said, "I have to go!"
- {a.He} saw {b.intro} across the road and waved. But {b} turned away and hurried off.

- {a.He} went to see {g}, but {g} was busy too.
- Even {g} said nothing about a birthday.
- "Has everyone forgotten me?" {a} wondered.

- {a} walked [slowly home|home alone] and [kicked a little stone|looked at the ground]. {a.He} felt very sad.
- {a} sat under a tree for a long time. It was the loneliest birthday ever.
- {a} went for a long walk and watched the clouds. Nobody called {a.his} name.

%
- In the evening, {a} opened the door of {a.his} home. It was dark inside.
- When {a} came home, everything was dark and quiet.
- The sun was going down when {a} came back. {a.He} opened the door slowly.

- Suddenly there was light everywhere. "Surprise!" shouted [all {a.his} friends|everyone].
- "Surprise!" Everyone jumped out and laughed.

- {b} was there, and {g} was there too. They had {gift}.
- There were balloons and lanterns, and {b} held {gift}.
- The whole room was full of lights. {b} stepped forward with {gift}.

- "We did not forget you," said {b}. "We were getting ready all day!"
- "Happy birthday, {a.v}!" said {b}. "It was so hard to keep the secret!"
- "I thought that you had forgotten," said {a}. "Never!" said {b}.

- They [danced|sang|played games] and ate until it was late.
- {a} laughed and cried at the same time.
- {a} did not know what to say. {a.He} just smiled and smiled.
- Then there was music, and even {g} danced.

?0.7
- It was the best birthday of {a.his} life.
- {a} knew that {a.he} had the best friends in the world.

# garden; wx=out; b=friend
$ seed,grown,enemy: a tiny seed ; a sunflower taller than the fence ; the snails || a brown bulb ; a red tulip ; the frost || three beans ; a bean plant that climbed up the wall ; the birds || a pumpkin seed ; a huge orange pumpkin ; the beetles || a handful of carrot seeds ; a row of sweet carrots ; the rabbits || an acorn ; a small oak tree ; the wind || a strawberry plant ; a bed full of sweet strawberries ; the snails

%
- {oneday}{g} gave {a} {seed}. "Plant it and wait," said {g}.
- {oneday}{a} found {seed} in [an old box|a drawer|the grass]. "What will it become?" {a.he} wondered.
- {oneday}{a} wanted to plant a garden. All {a.he} had was {seed}.

- {a} dug a hole in the soft ground, put it in, and covered it with earth.
- {a.He} picked a sunny spot, dug a little hole, and planted it with care.

- Every day, {a} gave it water. But nothing happened.
- {a} watered the ground and waited. One day passed, and then another. Nothing came up.
- {a} looked at the spot every morning before breakfast. There was only dirt.

- "Why does it not grow?" {a} asked. "Be patient," said {g}.
- {b.intro} laughed. "You are watering mud!" said {b}. But {a} did not stop.
- "Maybe it is asleep," said {b.intro}. So {a} sang to it [softly|every evening].
- "Nothing will ever grow there," said {b.intro}. "Wait and see," said {a}.

%
- Then, one morning, there was something small and green.
- After [a week|two weeks|a warm rain], a tiny green leaf came out of the ground. "Look!" cried {a}.
- One morning, {a} could not believe {a.his} eyes. A little green tip was looking out of the earth!

- {a} took good care of it. {a.He} pulled out the weeds and kept {enemy} away.
- It grew and grew. {a} protected it from {enemy}.

- By the end of [summer|the season], it had become {grown}.
- At last it was {grown}. Everyone came to look.
- The days grew longer, and one day there it stood. It was {grown}!

- "You were right to wait," said {b}.
- {a} was so proud. "It only needed time, and water, and love," {a.he} said.
- {g} smiled. "Patience makes the best gardener," {g.he} said.

- {a} shared it with everyone {home2}.
- {a} kept [a few seeds|one seed] for the next spring.
- And {a} gave the very first one to {b}.
- {a} learned that you cannot hurry a seed.

# rescue; wx=in; b=none
$ pet,trap,help,food: a small bird ; had hurt its wing ; wrapped it in a soft cloth ; seeds || a little kitten ; was stuck in a tree ; climbed up and held it tight ; warm milk || a baby hedgehog ; had fallen into a hole ; lifted it out with both {a.hands} ; apples || a puppy ; was caught in a bush full of thorns ; pulled the branches apart ; bread and meat || a butterfly ; had fallen into the water ; held out a leaf for it ; sweet water || a baby duck ; had lost its mother ; carried it to the pond ; crumbs || a young squirrel ; was trapped under a branch ; lifted the branch away ; nuts

%
- {oneday}{a} heard a [soft|small|sad] sound. {a.He} stopped and listened.
- {oneday}{a} was on {a.his} way home when {a.he} heard a tiny cry.
- {oneday}{a} was [walking|playing] near the trees. Suddenly {a.he} heard something cry.

- It was {pet} that {trap}.
- {a.He} [followed the sound|looked around] and found {pet}. It {trap}.
- There, between the leaves, was {pet}. It {trap}.

- "You poor thing," said {a}. "Do not be afraid. I will help you."
- The little one was shaking with fear. "I will not hurt you," {a} whispered.
- "Oh, you little thing!" said {a}. "Who left you here all alone?"

- Slowly and gently, {a} {help}.
- {a} moved very carefully. {a.He} {help}.

- Then {a.he} took it home and gave it some {food}.
- At home, {a} made a warm bed for it in a box and gave it {food}.

?0.6
- "Will it get well?" {a.he} asked. "With your help, it will," said {g}.
- {g} showed {a.him} how to take care of it.
- That night, {a} got up three times to see if it was all right.

%
- Day by day, it grew stronger. [Soon|After a week], it was well again.
- {a} took care of it for many days, until it was strong and happy.

- Then it was time to say goodbye. {a} was sad, but {a.he} knew that it wanted to be free.
- One morning, it looked up at the sky, and {a} knew that it was time to let it go.
- "You should be free now," said {a}, and {a.he} opened the door.

- The little one looked back once, as if to say thank you.
- It [came back|returned] every [spring|morning] to visit {a}.
- "Come and visit me!" {a} called.

- {a} felt warm inside. {a.He} had done something good.
- And from that day on, {a} had a new friend.
- "You did the right thing," said {g}, and {g.he} put an arm around {a}.

# race; wx=out; b=friend
$ prize: a golden cup || a big cake || a blue ribbon || a basket of fruit || a silver medal
$ stop: fallen into a ditch || hurt {b.his} foot on a stone || tripped over a root || slipped in the mud

%
- {oneday}there was a big race {home2}. The prize was {prize}.
- {oneday}everyone came to the meadow for the great race. The winner would get {prize}.
- {oneday}{a} heard about a race. "The winner gets {prize}!" {a.he} said.

- {a} had [trained|practiced] for weeks. {a.He} wanted to win very much.
- {a} wanted to win more than anything else.
- "I will be the fastest of all," said {a}.
- Every morning, {a} had run up the hill and down again.

- {b.intro} was in the race too. "Good luck," said {b}.
- Next to {a.him} stood {b.intro}. They shook {a.hands} and smiled.

- "Ready, set, go!" shouted {g}. [Off they ran|Everyone ran as fast as they could].
- {g} rang a bell, and the race began.

- Soon {a} was in front. {a.He} could already see the end.
- {a} ran like the wind, and {b} was close behind.
- One by one, {a} passed the others. Only {b} was as fast.

%
- Then {a} heard a cry. {b} had {stop}.
- Suddenly {b} cried out. {b.He} had {stop}.

- {a} stopped. {a.He} looked at the finish line, and {a.he} looked back at {b}.
- {a} could win now, but {a.he} could not leave {a.his} friend.
- The end was so close. But {b} was sitting on the ground, and nobody else stopped.

- {a.He} turned around and ran back. "Lean on me," {a.he} said.
- {a.He} went back and helped {b} up. "We will finish together," {a.he} said.

- They crossed the line last, but everyone clapped [and cheered|louder than ever].
- Side by side, they walked to the end. They were the last ones, but nobody laughed.
- Arm in arm, they came in last. And the crowd cheered as if they had won.

- "{a.N} did not win the race," said {g}, "but {a.he} won something better." 
- {g} gave {a} {prize} anyway. "This is for the best heart," {g.he} said.
- "You lost because of me," said {b}. "I did not lose anything," said {a}. "I kept a friend."

# storm; wx=storm; b=friend
$ wait: told stories || sang songs || played cards || ate warm soup || drank hot tea with honey
$ after: a rainbow stood over the hills || the air smelled fresh and sweet || the sun came out again || every leaf was shining

%
- {oneday}the wind began to blow. It blew harder and harder.
- {oneday}dark clouds came over the hills. "A storm is coming," said {g}.
- {oneday}{a} was far from home when the sky turned black.
- {oneday}the air was strange and still. The birds had stopped singing.

- {a} ran [home|inside] as fast as {a.he} could. On the way, {a.he} saw {b.intro}, who was [wet and cold|all alone in the rain].
- Rain began to fall. Then {a} saw {b.intro}, who was running from tree to tree.

- "Come with me!" shouted {a}. "You will be safe in my home."
- "Quick, come inside!" called {a}.
- {a} took {b} by the {a.hand1}. "Run!" {a.he} shouted.

- Lightning flashed, and thunder rolled. {b} was [afraid|shaking].
- Boom! The thunder was so loud that the walls shook. "I do not like this," said {b}.
- The wind shook the door. "Will it fall on us?" asked {b} in a small voice.

%
- {a} lit a small lamp. They sat close together and {wait}.
- "It is only noise," said {a}. So that they would not be afraid, they {wait}.
- They made a nest of blankets, and to pass the time they {wait}.

- Outside, the storm [roared|howled]. Inside, it was warm and dry.
- Little by little, {b} forgot about the storm.

- After [an hour|a long time], everything became quiet. They opened the door, and {after}.
- At last the rain stopped. They went outside, and {after}.

- The wind had broken {broke}. "Let us fix it together," said {b}.
- "Look!" said {a}. "The storm has washed the whole world."
- "Thank you for taking me in," said {b}. "That is what friends are for," said {a}.
- "I am not afraid of storms anymore," said {b}. "Not when I am with you."

$ broke: the old fence || a branch of the apple tree || the little gate || a window of the barn

# letter; wx=in; b=friend
$ far: across the sea || in the big city || on the other side of the mountains || in a land far away || at the end of the long river
$ put: a pressed flower || a small drawing || a smooth stone || a feather || a lock of ribbon

?0.8
- {a} missed {b.intro}, who had moved away. Now {b.he} lived {far}.
- {a.His} best friend {b} lived {far}, and {a} missed {b.him} very much.

%
- {oneday}{a} decided to write a letter.
- {oneday}{a} sat down with paper and a pencil.

- "Dear {b}," {a.he} wrote, "I think of you every day. [The apples are ripe now|The pond is full of frogs|It is quiet here without you]."
- "Dear {b}," {a.he} wrote, "how are you? I miss our games."
- "Dear {b}," {a.he} wrote, "yesterday I saw [a rainbow|a shooting star|a fox], and I wished that you had been there."

- {a.He} put {put} in the letter and closed it carefully.
- At the end, {a.he} drew a big heart and put in {put}.

- {g} helped {a.him} send it. Then {a} waited.
- {a} gave the letter to [the mailman|a sailor|the postman], and then {a.he} had to wait.

%
- One week passed, and then another. Every day, {a} [ran to the gate|looked down the road], but there was no answer.
- Days went by. "Maybe {b} has forgotten me," {a} said sadly.

- "Be patient," said {g}. "A letter has to travel a long way."
- {g} put an arm around {a.him}. "Good things take time," {g.he} said.

- Then, one [day|morning], there was a knock at the door. It was not a letter. It was {b}!
- At last a letter came. "Dear {a.v}," it said, "I am coming to visit you!"
- Then a small letter came, with {b}'s name on it. "Dear {a.v}," it said, "I read your letter every night. Soon I will come and see you."

- "Your letter made me so happy that I had to come," said {b}.
- {a} laughed and jumped, and soon the two friends were together again.

- They talked [all day long|until the stars came out], because they had so much to tell.
- {a} kept the letter [in a box|under {a.his} pillow] for the rest of {a.his} life.
- "Distance does not matter to real friends," said {g}.

# cook; wx=in; b=friend
$ dish,part1,part2,wrong,fix: a cake ; flour ; eggs ; used salt in place of sugar ; covered it with sweet cream || a pot of soup ; carrots ; onions ; added too much pepper ; added more water and potatoes || a pie ; apples ; butter ; forgot the pie in the oven ; cut off the burned part || pancakes ; milk ; flour ; dropped the first one on the floor ; made a new one || bread ; flour ; water ; forgot to wait until the bread was big ; made little crackers of it || cookies ; butter ; sugar ; made them much too big ; cut them into stars

%
- {oneday}{a} wanted to make {dish} for {g}.
- {oneday}{a} said, "Today I will cook! I am going to make {dish}."
- {oneday}{a} was hungry for {dish}. "I can make it all by myself," {a.he} said.

- {b.intro} came to help. "What do we need?" asked {b}.
- {a.He} asked {b.intro} for help, because {b} [loved|liked] to cook.

- They needed {part1} and {part2}. They mixed everything in a big bowl.
- On the table were {part1} and {part2} and a very large spoon.
- "First {part1}, then {part2}," said {a}. {b} stirred and stirred.

?0.6
- Soon there was flour on the floor, on the table, and on {b}'s nose.
- They sang while they worked, and the kitchen became warm.

- But then {a} made a mistake. {a.He} {wrong}.
- But {a} was not careful. {a.He} {wrong}.

%
- "Oh dear!" said {a}. "Now it is ruined."
- {a} tasted it and made a terrible face. {b} laughed so hard that {b.he} almost fell over.
- {a} looked at it and wanted to cry. All that work!

- "Wait," said {b}. "I have an idea." So they {fix}.
- "A mistake is not the end," said {b}. Together they {fix}.

- When {g} came home, the table was ready. "It smells wonderful in here," said {g}.
- Then {g} came in and took a bite. Everyone held their breath.

- "This is the best thing I have ever eaten," said {g}.
- {g} ate two plates. "I am so proud of you," {g.he} said.
- "It is a little strange," said {g}, "but it was made with love."
- "What did you put in it?" asked {g}. "It is wonderful!" {a} and {b} looked at each other and giggled.

- They all laughed and ate together.
- {a} smiled at {b}. "Next time, I will read the recipe," {a.he} said.

# learn; wx=out; b=friend; young=1
$ skill,fail,done: swim ; swallowed a lot of water ; swam all the way across the pond || ride a bike ; fell into the grass ; rode down the road without falling || skate ; sat down hard on the ice ; made a big circle on the ice || whistle ; made only a puff of air ; whistled a whole song || climb the tall tree ; slid back down ; sat at the very top || juggle ; dropped every apple ; kept three apples in the air || fly a kite ; got all tangled in the string ; made the kite dance in the sky || row a boat ; went around in circles ; rowed to the island and back || dance ; stepped on everyone's feet ; danced without one wrong step

- {a} wanted to learn to {skill}. All the others could do it already.
- There was one thing that {a} could not do. {a.He} could not {skill}.
- More than anything, {a} wished that {a.he} could {skill}.

%
- {oneday}{a.he} tried for the first time. {a.He} {fail}.
- {oneday}{a} made up {a.his} mind to try. But {a.he} {fail}.

- [Some|A few] of the others laughed. {a.His} face became hot.
- "I will never learn it," {a} said, and a tear ran down {a.his} cheek.

- {b.intro} came and sat down next to {a.him}. "I fell many times too," said {b}. "Do you want me to show you?"
- "Do not listen to them," said {b.intro}. "I will teach you."
- {b.intro} had seen it all. "Nobody can do it the first time," said {b}. "Come, try again with me."

- "Yes, please," said {a}.
- {a} dried {a.his} eyes and nodded.

%
- Every [day|afternoon], they practiced together. {b} showed {a.him} [slowly how to do it|each step].
- They tried again and again. Some days were good, and some days were bad.
- It was slow work. {a} fell, got up, and fell again, but {b} never laughed.

?0.6
- On the second day, {a} {fail} again. But {a.he} [laughed|got up] and kept trying.
- "A little better than yesterday," {b} always said.

- Then one day, it worked! {a} {done}.
- And then, on a [bright|quiet] morning, {a} {done}.
- And suddenly, when {a} had almost stopped hoping, {a.he} {done}.

- "I can do it!" {a.he} shouted. "I can really do it!"
- "You did it!" cried {b}, and they hugged.

- {a} learned that the secret was simple. You must never stop trying.
- Now nobody laughed anymore. They all cheered.
- And the next summer, {a} taught a smaller child how to {skill}.

# promise; wx=out; b=friend
$ task,need: water {b}'s flowers ; the flowers would dry out || feed {b}'s fish ; the fish would be hungry || bring {b} a book ; {b} was sick in bed || help {b} carry wood ; {b} could not do it alone || look after {b}'s little brother ; the little one would be alone || light the lamp in the window for {b} ; {b} would not find the way home
$ fun: The circus had come to town || The others were going to the beach || There was a big fair with music and lights || Some friends wanted to go sailing || The first sweet melons were being sold at the market

%
- {oneday}{a} made a promise to {b.intro}. "I will {task2}," {a.he} said. "You can count on me."
- {oneday}{b.intro} asked {a} for help. "I promise to {task2}," said {a}.

- But then {a} heard something exciting. {fun}.
- Then some friends came running. "Come with us!" they called. {fun}.

- {a} wanted to go with them very much. But if {a.he} went, {need2}.
- {a} took a few steps. Then {a.he} stopped. {a.He} thought about {b}.

- "You can do it tomorrow," said the others. "Nobody will know."
- "Just forget about it," the others said.

%
- "No," said {a}. "A promise is a promise."
- {a} shook {a.his} head. "I gave my word," {a.he} said.

- So {a} stayed and did what {a.he} had promised.
- {a} watched the others go. Then {a.he} went to work.
- It was quiet when the others were gone. {a} sighed and began.

- When {b} came back, everything was done. "I knew that I could trust you," said {b}.
- Later {b} found out what {a} had missed. "You stayed because of me?" {b.he} asked. "Of course," said {a}.

- The next day, {b} took {a} by surprise. "Come, I have something to show you," {b.he} said. It was [a picnic under the big tree|a little boat, just for two|a table full of cakes].
- "You kept your word," said {g}. "That is worth more than gold."
- "I knew it," said {b}, "because you are my friend."
- {a} was not sad at all. Keeping a promise felt better than any game.

# sorry; wx=in; b=friend
$ own,act,fix: vase ; knocked it off the table ; glued the pieces together || paper boat ; stepped on it ; folded a new one out of blue paper || drum ; hit it so hard that it tore ; put a new skin on it || window ; kicked a ball right through it ; saved up coins to pay for it || snow globe ; dropped it on the stones ; made a new one from an old jar || painting ; spilled water all over it ; helped to paint a new one || clay pot ; bumped into it ; made a new one out of clay

%
- {oneday}{a} was playing at {b.intro2}'s home. {b} had a beautiful {own}.
- {oneday}{a} went to visit {b.intro}. {b} was very proud of {b.his} {own}.

- "Please be careful with it," said {b}, and {b.he} went to get some [juice|tea|cookies].
- {b} left the room for a moment.

- {a} [wanted to look at it|was not careful], and {a.he} {act}. The {own} was broken!
- {a} was running around, and {a.he} {act}. Crash! The {own} was broken.

- {a.His} heart stopped. {a.He} wanted to [hide|run away].
- When {b} came back, {a} said nothing. "Who did this?" asked {b}. "The [cat|wind]," said {a}, and {a.his} face turned red.

%
- {a} went home, but {a.he} could not [eat|sleep|play]. There was a stone in {a.his} stomach.
- All day long, {a} felt terrible.
- {a} tried to forget about it, but {a.he} could not. Everything {a.he} saw made {a.him} think of it.

- "What is wrong?" asked {g}. {a} told the whole story.
- At last, {a} told {g} everything. "It is never too late to tell the truth," said {g}.

- So {a} went back to {b}. "It was me," {a.he} said. "I broke your {own}. I am so sorry."
- {a} knocked on {b}'s door. "I was not honest with you," {a.he} said. "I broke it, and I am sorry."

- {b} was quiet for a moment. Then {b.he} smiled. "Thank you for telling me the truth," {b.he} said.
- {b} was [sad|a little angry] at first. But then {b.he} said, "I forgive you."
- {b} looked at {a} for a long time. "It was only a thing," {b.he} said at last. "You are my friend."

- {a} {fix}, and they were friends again.
- To make it right, {a} {fix}.

- {a} felt as light as a feather.
- {a} learned that the truth is hard to say, but it makes the heart light.

# newfriend; wx=out; b=new
$ game: hide and seek || tag || a game of catch || pirates || marbles
$ shy: sat alone under a tree || stood behind the fence and watched || played alone in the sand || looked out from behind a bush

%
- {oneday}somebody new came to live nearby. It was {b.new}.
- {oneday}{a} saw {b.new}. {b.He} {shy}.
- {oneday}{b.newn} {shy}. {a} had never seen {b.him} before.

- "Hello," said {a}. "My name is {a.v}. What is your name?"
- {a} walked over and smiled. "Hello, who are you?" {a.he} asked.

- "I am {b}," said the [newcomer|little stranger] very quietly.
- "{b}," came the answer, almost too soft to hear.

- "Do you want to play {game} with us?" asked {a}.
- "We are going to play {game}," said {a}. "Would you like to play too?"

- {b} shook {b.his} head. "I am not good at games," {b.he} said.
- {b} looked at the ground. "The others may not like me," {b.he} said.

%
- "I will show you," said {a}. "It is easy."
- {a} did not give up. {a.He} sat down next to {b.him}, and they [talked about clouds|shared an apple|looked at ants].
- "I was new here once too," said {a}. "I know how it feels."
- "Everyone is new somewhere," said {a}. "Come, I will show you around."

- So they played {game}. At first {b} was shy, but soon {b.he} was laughing [out loud|louder than anyone].
- They played {game} until they were out of breath. {b} laughed so much that {b.he} had to sit down.
- Then {b} took a deep breath and joined in. {b.He} was very good at it!

- When it was time to go home, {b} smiled. "Will you play with me tomorrow?" {b.he} asked. "Of course!" said {a}.
- "Thank you for asking me," said {b}. "I was so lonely before."

- From that day on, {a} and {b} were best friends.
- And that is how {a} found a friend.
- {g} saw them and smiled. "One kind word can change a whole day," {g.he} said.

# lostway; wx=out; b=new
$ why: followed a blue butterfly || ran after {a.his} hat || looked for mushrooms || picked berries || chased a falling leaf
$ guide: the little stream || the evening star || the smell of fresh bread || the sound of the church bells || a row of white stones

%
- {oneday}{a} {why} deeper and deeper into the woods.
- {oneday}{a} went into the woods. {a.He} {why} and did not look at the path.

- When {a.he} looked around, nothing looked the same. {a} was lost.
- Suddenly {a} stopped. Where was the path? All the trees looked the same.

- "Hello!" {a.he} called. "Is anybody there?" Only the wind answered.
- {a} walked one way, and then {a.he} walked another way. It began to get dark.
- The wind made strange sounds in the branches. {a} felt very small.
- {a.He} sat down on a log and tried not to cry.

%
- Then {a.he} saw two bright eyes in the bushes. It was {b.new}.
- Just then, something moved in the leaves. Out came {b.new}.

- "Why are you crying?" asked {b}. "I cannot find my way home," said {a}.
- "Are you lost?" asked {b}. {a} nodded.

- "I know these woods well," said {b}. "We only have to follow {guide}."
- "I can help you," said {b}. "Look, there is {guide}. It will lead us."

- So they walked side by side and followed {guide}.
- They went under branches and over stones. {b} was never afraid, and so {a} was not afraid either.
- On the way, {b} told funny stories, and {a} forgot to be afraid.

- At last, {a} saw a light between the trees. It was home!
- And then {a} saw the roof of {a.his} own home.

- {g} ran out and hugged {a.him}. "I was so worried!" {g.he} said.
- "Thank you, {b}!" said {a}. "You must come in and have some soup."

- From then on, {a} never left the path without telling someone. And {b} came to visit every Sunday.
- {a} and {b} became good friends, and they often walked in the woods together.
- After that, {a} always [remembered|knew] how to find the way home.

# moon; wx=night; b=friend; night=1
$ wish: to fly || to touch the moon || to see the sea || to catch a star || to visit the clouds

%
- {oneday}{a} could not sleep. {a.He} looked out at the big round moon.
- {oneday}{a} sat outside and looked up at the stars.
- {oneday}a star fell from the sky, and {a} saw it.

- "I wish {wish}," {a.he} whispered.
- {a} closed {a.his} eyes and made a wish. {a.He} wished {wish}.

- {b.intro} could not sleep either. "What are you doing?" asked {b}.
- Then {b.intro} came and sat down next to {a.him}. "What are you looking at?" asked {b}.

- "I made a wish," said {a}, "but I think it is too big."
- "The moon looks so lonely up there," said {a}. "I want to keep it company."

%
- They climbed to the top of the hill, where the sky was very near.
- "Come with me," said {b}. "I know a place where the sky comes down to the ground." They walked to the lake.

- There, in the still water, lay the moon and all the stars.
- Below them was the dark water, and in it the moon swam like a silver fish.
- The lake was as smooth as glass. The whole sky was in it.

- {a} put one finger into the water, and the stars began to dance.
- They sat in a little boat in the middle of the lake, and there were stars above and stars below.

- "My wish came true," said {a}.
- "It feels like flying," {a} whispered.
- For a long time, nobody said a word. It was too beautiful.

- They stayed until their eyes were heavy. Then they went home to bed.
- {g} found them asleep in the grass and [carried them home|covered them with a blanket].
- "Good night, moon," said {a}, and {a.he} slept until morning.

# music; wx=in; b=friend
$ inst,sound: violin ; squeaked like a mouse || drum ; was much too loud || flute ; sounded like the wind in a keyhole || trumpet ; sounded like a sad cow || guitar ; had only three strings || voice ; was soft and shaky

%
- {oneday}there was going to be a big show {home2}. {a} wanted to play music, but {a.his} {inst} {sound}.
- {oneday}{a} heard about a concert. {a.He} wanted to take part, but {a.his} {inst} {sound}.

- "Please stop!" said the neighbors. They covered their ears.
- Everyone laughed when they heard it. {a} became very quiet.

- "I will not play," said {a}.
- "Maybe music is not for me," {a} said sadly.

- "Do you love music?" asked {b.intro}. "More than anything," said {a}. "Then you must play," said {b}.
- But {b.intro} said, "I like to hear you. Let us practice together."

%
- So they practiced every day in [the old barn|the attic|the woods], where nobody could hear them.
- {a} practiced in the morning, and {a.he} practiced at night. {b} listened and clapped.

- Slowly, the music became better.
- Days went by. Some notes were still wrong, but more and more of them were right.
- One day, a bird stopped to listen. "See?" said {b}. "You are getting better."

- On the night of the show, {a} was so nervous that {a.his} {a.hands} shook.
- Then the big night came. {a} stood on the stage, and everyone looked at {a.him}.

- {a} looked at {b} and took a deep breath. Then the music began, and it was beautiful.
- {b} smiled from the first row. {a} closed {a.his} eyes and began.

- When it was over, nobody made a sound. Then everyone stood up and clapped.
- The last note hung in the air. Then the whole hall clapped.
- The people clapped and cheered. Even the neighbors had tears in their eyes.

- "Thank you for believing in me," {a} said to {b}.
- {a} learned that practice can turn noise into music.

# market; wx=out; b=new
$ want,want1: a {color} kite ; the {color} kite || a jar of sweets ; the jar of sweets || a little wooden horse ; the wooden horse || a pair of {color} boots ; the boots || a {color} whistle ; the whistle || a big {color} balloon ; the balloon
$ saw: had lost all {b.his} money || needed bread for {b.his} little sister || had broken {b.his} only cup || had no warm coat || wanted to buy medicine for {b.his} mother

- For a long time, {a} had saved every coin. {a.He} wanted to buy {want}.
- {a} had {coins} coins in a little bag. {a.He} had worked hard for them.

%
- {oneday}{a} went to the market to buy {want}.
- {oneday}{g} took {a} to the market. It was full of people, colors, and smells.

- There were [apples|pears] and cheese, flowers and fish. And there was {want1}!
- {a} walked past the fruit and the flowers. Then {a.he} saw {want1}.

- But next to the stall, {a.he} saw {b.new}, who was crying.
- Just as {a} took out {a.his} coins, {a.he} heard somebody cry. It was {b.new}.

- "What happened?" asked {a}. {b} {saw}.
- {a} asked what was wrong. {b} said quietly that {b.he} {saw}.

%
- {a} looked at {want1}, and then {a.he} looked at {b}. It was not an easy choice.
- {a} held the coins tight. {a.He} thought and thought.
- For a moment, {a} wanted to walk on. But {a.his} feet would not move.

- Then {a} put the coins into {b}'s {b.hands}. "You need them more than I do," {a.he} said.
- "Here," said {a}. "Take these." And {a.he} gave {b} all the coins.

- {b} could not believe it. "I will never forget this," {b.he} said.
- {b} stopped crying and smiled. "Why are you so good to me?" {b.he} asked.
- "Thank you, thank you!" cried {b}.

- The woman at the stall had seen everything. She gave {want1} to {a}. "This is for you," she said. "Kindness is worth more than coins."
- {a} went home with an empty bag and a full heart.
- Years later, {b} came back with {want}. "Do you remember me?" {b.he} asked.

# noise; wx=in; b=friend
$ sound,src: a strange scratching sound ; a tiny mouse who was building a nest || a long, low moan ; the wind in an empty bottle || a soft tapping ; a branch that knocked on the wall || a loud thump ; an apple that had fallen from the tree || a funny squeak ; the old gate that needed oil || a splash and a giggle ; a family of otters at play

%
- {oneday}{a} heard {sound}.
- {oneday}there was {sound}. {a} sat up and listened.
- {oneday}everything was quiet. Then {a} heard {sound}.

- "What was that?" {a.he} whispered.
- {a.His} ears stood up. "Is it a monster?" {a.he} wondered.
- {a.He} held {a.his} breath. There it was again!

- {a} went to get {b.intro}. "Did you hear it too?" {a.he} asked.
- {b.intro} heard it as well. "Maybe it is a ghost," said {b}.

- "Let us find out," said {b}. They took a lamp and walked on the tips of their toes.
- {a} took a long stick, and {b} took a lamp. Slowly they went closer.

%
- They looked behind the door. Nothing. They looked under the stairs. Nothing.
- The sound became louder and louder. {b} held on to {a}.
- Something moved in the dark. {a} and {b} stood as still as stones.

- Then {a} lifted the lamp, and they saw what it was. It was only {src}!
- {a} counted to three, and they jumped forward. And there was {src}!

- First they looked at each other. Then they laughed until their stomachs hurt.
- "That is our monster!" said {b}, and both of them laughed.

- "Things are only scary when you do not know them," said {a}.
- "I was not afraid at all," said {b}. "Neither was I," said {a}, and they both knew that it was not true.
- When they told {g} about it, {g.he} laughed too.

# snow; wx=snow; b=friend
$ nose,hat: a carrot ; an old pot || a pine cone ; a blue bucket || a red apple ; {g}'s hat || a small stick ; a straw hat

%
- {oneday}it had snowed all night. {a} ran outside with a shout of joy.
- {oneday}{a} looked out, and everything was white. "Snow!" {a.he} cried.

- {b.intro} was already outside. "Let us make a snowman!" said {b}.
- {a.He} ran to get {b.intro}. "Come out and play!" {a.he} called.

- They rolled one big ball, one middle ball, and one small ball.
- They pushed and rolled the snow until their {a.hands} were cold.

- They gave the snowman {nose} for a nose and {hat} for a hat.
- For the nose they used {nose}, and on his head they put {hat}.

?0.6
- "He looks a little lonely," said {b}. So they made a snow dog too.
- "He needs a scarf," said {a}, and {a.he} gave him {a.his} own.

%
- Then they slid down the hill again and again.
- After that, they took a sled up the hill and raced down, faster and faster.
- They threw snowballs and made angels in the snow.

?0.7
- {b} slipped and fell into the deep snow. Only {b.his} feet could be seen! {a} pulled {b.him} out.
- {a}'s nose became as red as a berry.

- When it got dark, {g} called them in for [hot chocolate|warm soup|hot tea].
- At last they were too cold to play. {g} gave them [hot chocolate|warm soup] by the fire.

- From the window, they could see the snowman. He seemed to smile.
- "Will he still be there tomorrow?" asked {b}. "If it stays cold," said {g}.
- "I hope that it snows again," said {a}.

?0.5
- In the spring the snowman melted, but where he had stood, a flower grew.
- And in the night, when no one looked, the snowman waved.

# treasure; wx=out; b=friend
$ place,way: under the old oak tree ; over the bridge and past the mill || on the little island ; across the lake || behind the waterfall ; along the river || in the cave by the beach ; over the rocks || at the top of the hill ; through the thick bushes
$ chest: full of old toys and a note || full of shells and colored glass || with a golden compass inside || full of letters from long ago || with a music box inside

%
- {oneday}{a} found an old map [in a bottle|in a dusty book|under the floor].
- {oneday}{g} gave {a} an old map with a red cross on it.

- "It is a treasure map!" {a.he} cried. {a.He} ran to show it to {b.intro}.
- {a} showed it to {b.intro}. "There must be a treasure {place}," said {b}.

- They packed [bread and cheese|apples and water|a rope and a lamp] and set off.
- "Let us go right now!" said {b}. They took a shovel and a bag.

- The way went {way}. They [walked|marched] and sang.
- First they had to go {way}. It was farther than they had thought.

%
- Once they took a wrong turn, and {b} [stepped into the mud|sat down on an ant hill]. But they did not turn back.
- "I am tired," said {b}. "Only a little more," said {a}.

- At last they came to the place. It was {place}, just as the map said. They began to dig.
- There was the spot, {place}. They dug and dug until the shovel hit something hard.

- It was a small chest {chest}!
- They pulled out a wooden chest. It was {chest2}.

- "It is not gold," said {b}. "It is better than gold," said {a}.
- "Who put this here?" asked {b}. They never found out.
- {a} and {b} looked at each other with big eyes.

- They added something of their own and buried it again, so that somebody else could find it.
- They brought it home and showed it to {g}. "I hid that when I was young," said {g} with a smile.
- But the best treasure was the day that they had spent together.

# repair; wx=in; b=none
$ thing,where,cause: the big clock ; in the tower ; a bird had built a nest inside it || the old mill ; by the river ; a branch was stuck in the wheel || the music box ; on the shelf ; a tiny screw was loose || the lamp ; in the lighthouse ; the glass was covered with dust || the fountain ; in the square ; leaves had blocked the pipe || the little train ; at the station ; a stone was caught in its wheel

%
- {oneday}{thing} {where} stopped working.
- {oneday}everyone was worried. {N_thing} {where} did not work anymore.

- "Who can fix it?" people asked. The strongest one pushed it, but nothing happened. The loudest one shouted at it, but nothing happened.
- Many came to look at it. They pulled, and they pushed, and they shook their heads.

- "May I try?" asked {a}.
- Then {a} came. "I would like to have a look," {a.he} said.

- "You?" they said, and they laughed. "You are much too [small|quiet|slow]."
- "Let {a.him} try," said {g}.

%
- {a} did not push or shout. {a.He} sat down and looked. {a.He} listened too.
- {a} took {a.his} time. {a.He} looked at every little part.
- {a} put {a.his} ear close to it and closed {a.his} eyes.

- Then {a.he} saw it. {N_cause}!
- And there was the problem. {N_cause}.

- Carefully, {a} [put everything right|did what had to be done]. It took only a moment.
- With [gentle|careful] {a.hands}, {a} fixed it.

- {N_thing} began to work again, and everyone cheered.
- There was a click and a hum. {N_thing} worked [as well as new|better than before]!

- "How did you do it?" they asked. "I only looked closely," said {a}.
- "You do not need to be big to solve a big problem," said {g}.

- From that day on, whenever something was broken, people asked for {a}.
- Nobody laughed at {a} anymore.

# sick; wx=in; b=friend
$ gift: a picture of the garden || a bunch of wild flowers || a pot of warm soup || a puppet made from a sock || a book with funny stories

%
- {oneday}{a} wanted to play with {b.intro}, but {b} was sick in bed.
- {oneday}{b.intro} did not come out to play. "{b} has a bad cold," said {g}.

- "Poor {b}," said {a}. "It must be boring to lie in bed all day."
- {a} thought about it. "What would make {b} happy?" {a.he} asked {a.self}.

- Then {a} had an idea. {a.He} worked all morning to make a gift. It was {gift}.
- {a} decided to bring {gift}.

- {a} knocked softly on the door. "May I come in?"
- {a} walked to {b}'s home and looked in through the window.

%
- {b} was lying under a thick blanket. {b.His} nose was red. But when {b.he} saw {a}, {b.he} smiled.
- "{a.N}!" said {b} with a small voice. "You came to see me!"

- "I brought you something," said {a}. {b} was so happy about the gift.
- {a} gave {b} the gift and sat down next to the bed.

- {a} told {b} about [the ducks on the pond|a funny dream|everything that had happened that day], and {b} laughed.
- They did not talk much, but it was good to be together.
- They played quiet games, and {a} read a story aloud.

- "I feel better already," said {b}.
- {g} came in and smiled. "A good friend is the best medicine," {g.he} said.

- A few days later, {b} was well again, and they ran outside together.
- The next week, {a} had a cold. And who came to visit? It was {b}, of course.

# puddle; wx=rain; b=friend
$ plan,do,did,doing: a boat race in the puddles ; have ; had ; having || a castle out of blankets ; build ; built ; building || a puppet show ; put on ; put on ; putting on || a jumping contest ; have ; had ; having || a tent under the table ; build ; built ; building || a play about a lost king ; put on ; put on ; putting on

%
- {oneday}it rained and rained. {a} could not go out to play.
- {oneday}{a} watched the rain. "There is nothing to do," {a.he} said.
- {oneday}the rain fell so hard that the road became a river.

- {a} sighed. "I wish that the sun would shine."
- "Rain, rain, go away," {a} sang. But the rain did not listen.

- Then there was a knock at the door. It was {b.intro}, with water running down {b.his} nose.
- Then {b.intro} came running through the rain. "Why are you so sad?" asked {b}.

- "A rainy day can be fun too," said {b}. "Let us {do} {plan}!"
- "I know what we can do," said {b}. "We can {do} {plan}!"

%
- So they {did} {plan}. They laughed so loudly that {g} came to see what was going on.
- {a} liked the idea, and they began at once. Soon they were {doing} {plan}.

- {g} wanted to join in as well.
- {g} brought them [hot chocolate|warm bread|a plate of cookies].
- They got very wet, but they did not care.

- Before they knew it, the rain had stopped. "Oh no," said {a}, "it is over!"
- The rain stopped, but they did not even notice.

- Outside, a rainbow stood in the sky, and {a} smiled at it.
- Now {a} hopes for rain every week.
- {a} learned that the weather does not make a day good or bad. Friends do.

# quarrel; wx=out; b=friend
$ about,solve: who should sit in front of the boat ; took turns || who had found the shiny stone ; gave it to {g} || which way to go ; went first one way and then the other || who was taller ; stood back to back and were exactly the same || what game to play ; made up a new game || who should get the last plum ; cut it in half

%
- {oneday}{a} and {b.intro2} had a fight. It was about {about}.
- {oneday}{a} and {b.intro2} could not agree about {about}.

- "I am right!" said {a}. "No, I am right!" said {b}.
- {a} shouted, and {b} shouted back. Their faces were red.

- "I will never play with you again," said {b}, and {b.he} walked away.
- They turned their backs on each other. {a} went one way, and {b} went the other way.

%
- {a} tried to play alone. But it was [boring|no fun].
- The day was long. {a} saw something funny and turned around to tell {b}, but {b} was not there.
- {a} sat by the river and threw stones into the water. {a.He} missed {b} already.

- "Why are you alone?" asked {g}. {a} told {g} about the fight. "Is it more important to be right, or to be friends?" asked {g}.
- {g} sat down next to {a.him}. "Somebody has to be the first to say sorry," {g.he} said.

- {a} thought about that. Then {a.he} ran to look for {b}.
- {a} stood up. "I am going to find {b}," {a.he} said.

- On the way, {a.he} met {b}, who was looking for {a.him}. "I am sorry!" they said at the same time.
- {b} was sitting under a tree. "I am sorry," said {a}. "I am sorry too," said {b}.

- They laughed, and then they {solve}.
- This time they talked quietly. In the end, they {solve}.

- After that, they never fought about it again.
- Friends can have a fight and still be friends.

# sleep; wx=night; b=none; night=1; young=1
$ count: sheep || stars || clouds || the ticks of the clock
$ sing: about the moon and the sea || about a sleepy little boat || that {a.he} had known since {a.he} was a baby || without any words

%
- {oneday}{a} did not want to go to bed. "I am not tired," {a.he} said.
- {oneday}it was time for bed, but {a} was wide awake.

- First {a.he} wanted a drink of water. Then {a.he} wanted one more story.
- {a} jumped up and down on the bed. "I want to play all night!"

- "Even the sun goes to bed," said {g}.
- "Everyone must sleep," said {g}. "The birds are sleeping, and the flowers have closed their petals."

- "But what if I miss something?" asked {a}.
- "What happens at night?" asked {a}. "I want to see it."

%
- So {g} opened the window, and they looked out together. The moon was shining on the hills. An owl called in the distance.
- {g} carried {a.him} to the window. "Look," {g.he} said. "The whole world is going to sleep."
- {g} took {a.him} outside for a moment. The grass was wet, and the whole world was still.

- "You see," whispered {g}, "the night is only resting, so that it can give us a new day."
- "The night is quiet so that everyone can dream," said {g}.

- {a} yawned. {g} tucked {a.him} in and sang a song {sing}.
- Back in bed, {a} tried to count {count}. {a.He} got as far as [ten|twelve|twenty].

- Before the song was over, {a.his} eyes had closed.
- Soon {a} was fast asleep.
- Then there was no sound but {a.his} soft breath.

- {a.He} dreamed of [flying over the sea|a garden full of lights|a train that went to the stars].
- "Sweet dreams," said {g}, and {g.he} turned out the light.

# job; wx=out; b=none
$ try1,bad1,try2,bad2,good,goodat: carry the mail ; the bag was too heavy ; sell fish ; the smell made {a.him} sneeze ; tell stories ; the children laughed and asked for more || ring the bell ; {a.he} rang it much too early ; wash windows ; {a.he} spilled all the water ; paint pictures ; everyone wanted to have one || watch the sheep ; {a.he} fell asleep ; bake bread ; the bread turned black ; take care of the flowers ; they had never been so bright || sweep the street ; the wind blew all the leaves back ; cut wood ; the ax was too heavy ; sing songs ; people stopped to listen

- More than anything, {a} wanted to be useful.
- "What am I good at?" {a} often wondered. {a.He} did not know.

%
- {oneday}{a.he} tried to {try1}, but {bad1}.
- {oneday}{a} went out to look for work. First {a.he} tried to {try1}, but {bad1}.

- Then {a.he} tried to {try2}, but {bad2}.
- Next {a.he} tried to {try2}. It was no good. {N_bad2}.

- "I cannot do anything right," said {a}.
- {a} sat down on the steps and put {a.his} head in {a.his} {a.hands}.

%
- {g} sat down beside {a.him}. "What do you do when nobody tells you what to do?" {g.he} asked.
- "What do you love to do?" asked {g}.

- {a} thought for a while. "I like to {good}," {a.he} said.
- "I love to {good}," said {a}, "but that is not work."

- "Then do that," said {g}.
- "Why not?" said {g}. "Try it."
- {g} laughed. "That is your gift," {g.he} said. "Do not hide it."

- So {a} began to {good}, and {goodat}.
- The next morning, {a} started to {good}. Soon {goodat}.

- At last {a} had found {a.his} place in the world.
- "I knew it," said {g}. "Everyone is good at something."

# gift; wx=in; b=none
$ gift,how: a warm scarf ; knitted every evening || a wooden spoon ; carved it from a branch || a picture in a frame ; painted it with berry juice || a necklace ; made it out of shells || a little song ; practiced it in secret || a box of cookies ; baked them before the sun came up

%
- {oneday}{a} wanted to give {g} a present, but {a.he} had no money.
- {oneday}{a} thought about {g}, who was always so kind. "I want to give something back," {a.he} said.

- In the shops there were many beautiful things, but they all cost too much.
- {a} counted {a.his} coins. There was only one, and it had a hole in it.

- "What can I do?" {a.he} wondered. Then {a.he} had an idea. "I will make something myself!"
- {a} thought all day. At last {a.he} decided to make {gift}.

- {a.He} {how}, and nobody knew about it.
- It was not easy, but {a} worked with love. {a.He} {how}.

?0.6
- Once {g} almost saw it, but {a} hid it behind {a.his} back.
- Sometimes it went wrong, and {a} had to start again.

%
- At last it was done. It was {gift}.
- When it was finished, {a} looked at it. It was {gift}, and it was a little crooked.

- "This is for you," said {a}, and {a.his} face became warm.
- {a} gave it to {g} with shy eyes.
- {g} opened it slowly, and {a} held {a.his} breath.

- {g} was silent. Then {g.he} smiled with tears. "You made this for me?"
- "It is the most beautiful gift I have ever had," said {g}.

- {g} [kept it for many years|took good care of it], and {a} was very proud.
- {a} learned that the best gifts come from the heart.
- And {g} hugged {a} for a long time.

# ferry; wx=out; b=new
$ water,boat,wonder: the wide river ; a small boat ; a big silver fish jumped over the boat || the sea ; an old sailboat ; a whale came up right beside them || the lake ; a little raft ; a swan swam along with them all the way

%
- {oneday}{a} sat by {water} and looked at the other side. "I wonder what is over there," {a.he} said.
- {oneday}{a} wanted to cross {water}. {a.He} had never seen the other side.

- But {a} had no boat. Then {b.new} came along with {boat}.
- Near the shore, {a.he} met {b.new}. {b} had {boat}.

- "Will you take me to the other side?" asked {a}. "Yes," said {b}, "if you help me row."
- "Where do you want to go?" asked {b}. "Over there," said {a}. "Then come along," said {b}.

- They pushed off, and the water [splashed|sparkled] around them.
- {a} took one side, and {b} took the other. Soon they were far from the shore.

%
- In the middle, {wonder}. {a} was so surprised that {a.he} almost fell in.
- Suddenly {wonder}. "Do not be afraid," said {b}. "It only wants to say hello."

- Then the wind became strong, and the waves grew high. "Keep going!" called {b}.
- The water was rough for a while, but they worked together and kept calm.

- At last they came to the other side. There were [flowers|trees] that {a} had never seen before.
- On the other side, there was a green hill. From the top, {a} looked back and saw {a.his} own home.

- "How small it looks," said {a}. "And how beautiful."
- They sat down in the grass, ate their bread, and listened to the waves.
- "Now I know what is over here," said {a}. "And I know a new friend too."

- In the evening they went back, and {a} told {g} everything.
- After that, {a} and {b} crossed {water} many times.

# hiccup; wx=in; b=friend
$ cure1,cure2: drink a cup of water upside down ; stand on one leg and count to twenty || hold your breath ; jump up and down ten times || eat a spoon of honey ; sing a song backward || pinch your nose ; hop around the table

%
- {oneday}{a} got the hiccups. "Hic!" said {a}. "Hic! Hic!"
- {oneday}{a} opened {a.his} mouth to say good morning, but all that came out was "Hic!"
- {oneday}{a} ate {a.his} breakfast much too fast. "Hic!" said {a}.

- "Oh dear," said {g}. "You must {cure1}." {a} tried it. "Hic!"
- {g} knew what to do. "You have to {cure1}," {g.he} said. It did not help. "Hic!"

- Then {b.intro} came by. "You should {cure2}," said {b}. {a} did that too. "Hic!"
- "My grandmother says that you must {cure2}," said {b.intro}. So {a} tried it. "Hic!"

%
- Soon everyone had an idea, but nothing worked. The hiccups only became louder.
- The whole day long, it went on. "Hic!" The birds flew away. "Hic!" The cat hid under the bed.

- In the end, {a} began to laugh. {a.He} laughed, and {b} laughed too, until they were rolling on the floor.
- Suddenly a [frog|bee|mouse] jumped right over {a}'s nose. "Help!" {a} cried.

- Then it was quiet. They waited. There was no hiccup! "They are gone," whispered {a}.
- And then they noticed something. The hiccups had stopped.

- "At last," said {b}. "Hic!" Now {b} had them.
- "Laughing is the best cure," said {g}.
- From that day on, {a} ate {a.his} breakfast very slowly.

# train; wx=in; b=new; young=1
$ dest: the sea || the mountains || the big city || {a.his} grandmother's home || the island of the birds
$ seen: fields and cows and little stations || long bridges and blue lakes || hills with sheep and old towers || forests and rivers and tiny houses

%
- {oneday}{a} went on a long trip. {a.He} took the train to {dest}.
- {oneday}{a} stood at the station with a small bag. {a.He} wanted to go to {dest}.

- It was {a.his} first trip alone, and {a.his} stomach felt funny.
- {g} waved from the platform. "Be careful!" {g.he} called.

- "Choo, choo!" The train began to roll. {a} pressed {a.his} nose against the window and saw {seen}.
- The train rolled past {seen}. {a} could not stop looking.

- Across from {a.him} sat {b.new}. {b.He} looked [worried|sad|a little lost].
- At the next station, {b.new} came in and sat down. {b.He} was very quiet.

%
- "Is this your first trip too?" asked {a}. {b} nodded.
- "Would you like half of my [bread|apple|cake]?" asked {a}. "Yes, please," said {b}.

- They talked about [their homes|the clouds|their favorite games], and soon neither of them was afraid.
- They counted bridges together. There were [nine|ten|twelve].

- Then the train went into a long, dark tunnel. They [held hands|sang loudly] until the light came back.
- For a long time, the train stood still in the middle of nowhere. They told each other stories until it moved again.

- At last they were there. "Goodbye, {b}!" called {a}. "I will write to you!"
- When they got off the train, it turned out that {b} was going to the very same place.
- "I have made a friend before I even got there," thought {a}.

# picnic; wx=out; b=friend
$ spoil,find: ants were all over the cake ; a field of ripe berries || a goose ate all their sandwiches ; an apple tree full of sweet apples || the basket fell into the river ; a bush full of nuts || it began to rain ; a dry little cave

%
- {oneday}{a} and {b.intro2} wanted to have a picnic.
- {oneday}{a} packed a big basket. "Let us have a picnic!" {a.he} said to {b.intro}.

- They put in [bread and cheese|cake and juice|eggs and tomatoes], and a blanket to sit on.
- They walked until they found the perfect spot under a tree.

- But when they sat down, {spoil}.
- They had just put down the blanket when {spoil}.

- "Our lunch!" cried {b}.
- {a} was so angry that {a.he} stamped {a.his} foot.
- "What a terrible day," said {a}. "Everything is ruined."

%
- But {b} looked around. "Come and see what I have found," {b.he} called. It was {find}.
- They walked on, hungry and sad. Then they came around a corner and found {find}!

- They [laughed and danced|sat down there] and had the best picnic ever.
- Soon they were happy again, and {a} even forgot the basket.

- "If nothing had gone wrong, we would never have found this place," said {a}.
- "Next year we will come here again," said {b}.
- Sometimes a bad start has a good end.

# boast; wx=in; b=friend
$ claim,truth: swim across the whole lake ; had never even been in deep water || talk to the birds ; could not even whistle || lift a horse ; could hardly lift a chair || sail a ship ; had never been on the sea || find the way in the dark ; slept with the lamp on || jump over the river ; could only jump over puddles

- {a} liked to tell big stories, and not all of them were true.
- {a} wanted everyone to like {a.him}. So {a.he} sometimes said things that were not true.

%
- {oneday}{a} said to {b.intro}, "I can {claim}!"
- {oneday}{b.intro} asked {a} what {a.he} could do. "I can {claim}," said {a}.

- But it was not true. {a} {truth}.
- {b}'s eyes became big. "Really?" In truth, {a} {truth}.

- "Show us!" said {b}. "We will all come tomorrow and watch."
- Soon everybody was talking about it. "Tomorrow {a.N} will show us," they said.

- That night, {a} could not sleep. What should {a.he} do?
- {a} went home with a heavy heart.

%
- In the morning, {a} asked {g} for help. "The truth is the shortest way," said {g}.
- "Maybe I should say that I am sick," thought {a}. But that would be one more lie.

- When everyone was there, {a} stood up. "I cannot {claim}," {a.he} said. "I only said it because I wanted you to like me."
- {a} took a deep breath. "It was not true," {a.he} said, and {a.his} face was red.

- It was quiet for a moment. Then {b} said, "We like you as you are."
- First nobody spoke. "It takes courage to say that," said {b} at last.

- {a} felt as if a stone had fallen from {a.his} heart.
- From then on, {a} still told big stories. But now {a.he} always began with, "Once upon a time."
- After that, {a} always told the truth.

# hide; wx=out; b=friend
$ spot: in a big basket || inside a hollow tree || under a pile of hay || behind the curtain || in an old boat || under a wheelbarrow

%
- {oneday}{a} played hide and seek with {b.intro} and some others.
- {oneday}{b.intro} wanted to play hide and seek. "I will count, and you hide," said {b}.

- "One, two, three," counted {b}. {a} ran and looked for a good place.
- {b} closed {b.his} eyes and counted to twenty. Where could {a} hide?

- {a} hid {spot}. It was warm and dark in there.
- At last {a} found the best place of all. {a.He} hid {spot}.

- {a.He} waited and waited. It was so quiet that {a.his} eyes closed, and {a.he} fell asleep.
- Nobody came. {a} yawned, and soon {a.he} was fast asleep.

%
- {b} found all the others, but {b.he} could not find {a}. "Come out, you have won!" {b} called. There was no answer.
- "Where is {a.N}?" asked {b}. They looked everywhere, and they began to worry.

- They called {g}, and {g.he} helped them look. The sun was already going down.
- {g} came with a lamp. "{a.N}!" everyone called.

- Then {b} heard a funny sound. Somebody was snoring! It came from the place where {a} was. {a} had slept {spot}.
- At last {b} looked {spot}, and there was {a}, sound asleep.

- {a} opened {a.his} eyes. "Did I win?" {a.he} asked. Everyone laughed.
- "You gave us a scare," said {g}, "but you are the best at hiding."
- From that day on, nobody forgot to look {spot}.

# windhat; wx=out; b=new
$ land: in the top of a tall tree || on a boat in the river || on the roof of a strange house || in a nest full of eggs

%
- {oneday}a strong wind came and took {a}'s {color} hat.
- {oneday}{a} was walking up the hill when the wind blew away {a.his} {color} hat.

- "Come back!" shouted {a}. But a hat has no ears.
- Up and up it went, like a bird. {a} ran after it.

- The hat flew over the fence and across the field. {a} ran and ran.
- It danced over the road and over the hedge. {a} was almost out of breath.

- At last it came down {land}. {a} could not reach it.
- Then the wind stopped, and the hat landed {land}.

%
- "Is this your hat?" asked a voice. It was {b.new}.
- {b.new} was standing there. "I can get it for you," {b.he} said.

- With a long stick, {b} got the hat back. "Here you are," {b.he} said.
- {b} knew a way to get it, and soon {a} held the hat in {a.his} {a.hands}.

- "Thank you," said {a}. "I have never been this far from home." "Then I will show you my favorite place," said {b}.
- {a} was so happy that {a.he} gave {b} [a candy|an apple|a hug].

- They spent the whole afternoon together, and {a} almost forgot to go home.
- In the end, {a} was glad about the wind. "It brought me to you," {a.he} said.
- From that day on, {a} held on to {a.his} hat. But sometimes, {a.he} hoped for a little wind.

# lamp; wx=storm; b=none
$ lost: a ship full of sailors || a little fishing boat || a boat with an old man || a small sailboat with two children

%
- {oneday}a thick fog came in from the sea. {a} stood on the shore and could not see {a.his} own feet.
- {oneday}{a} was near the water when the fog came. Everything became white.

- Then {a.he} heard a voice, far out on the water. It was {lost}!
- Somewhere in the fog, a bell was ringing. It was {lost}, and it had lost its way.

- "The rocks!" thought {a}. "They will hit the rocks!"
- {a} knew that there were sharp rocks. Somebody had to do something.

- {a} ran home and got the biggest lamp {a.he} could find.
- {a.He} ran to {g}. "Quick, we need a light!" {a.he} called. {g} gave {a.him} a lamp.

%
- {a} climbed up on the highest stone and held the lamp over {a.his} head. "This way!" {a.he} shouted. "This way!"
- From the top of the hill, {a} moved the light from left to right. {a.His} arms hurt, but {a.he} did not stop.

- It was cold, and the night was long. But {a} did not give up.
- For a long time, nothing happened. Then the bell came closer.

- Slowly, {lost} came out of the fog. It was safe!
- At last the boat touched the sand. Everyone on it was safe.

- "Your little light saved us," they said.
- "Were you not afraid?" asked {g}. "I was," said {a}, "but they were more afraid."
- After that, a lamp burned there every night.

# thief; wx=in; b=new
$ food,trace: apples ; little footprints in the mud || carrots ; a few gray hairs || cookies ; a line of crumbs || nuts ; empty shells || berries ; purple spots on the stones

%
- {oneday}{a} saw that some of {a.his} {food} were gone.
- {oneday}{a} counted {a.his} {food}. There were not as many as the day before.

- The next day, even more were missing. "There is a thief!" said {a}.
- "Who is taking my {food}?" asked {a}. {g} did not know either.

- {a} looked around and found {trace}.
- On the ground, {a.he} saw {trace}. "I will find out who it is," {a.he} said.

- {a.He} followed them past the fence and around the corner.
- That evening, {a} hid behind a barrel and waited.

%
- And there was the thief. It was {b.new}, and {b.he} was [very thin|shaking with cold].
- Then {a} saw who it was. It was {b.new}.

- "Stop!" said {a}. "Those are mine!" {b} began to cry. "I was so hungry," {b.he} said.
- "Why do you take my {food}?" asked {a}. "I have nothing to eat," whispered {b}.

- {a} was not angry anymore. "You could have asked me," {a.he} said.
- {a} looked at {b}'s thin face. "Come inside," {a.he} said. "We will have dinner together."

- From then on, {b} came to the front door, and {a} always had something for {b.him}.
- {b} wanted to make it good again. So {b.he} helped {a} with the work every morning, and they became friends.
- "I lost some {food}," said {a}, "but I found a friend."

# drought; wx=out; b=none
$ where: under the old stones || behind the hill || below a dead tree || at the bottom of the cave

- It had not rained for a long, long time. The grass was brown, and the well was dry.
- That year there was no rain. The river became a stream, and the stream became dust.

%
- {oneday}there was no water left {home2}. Everyone was thirsty.
- {oneday}{g} came back with an empty bucket. "The well is dry," said {g}.

- The big ones began to fight about the last drops. "Stop!" said {a}. "That will not help us."
- Some wanted to leave. Some wanted to wait. Nobody knew what to do.

- "I will look for water," said {a}. "You?" said the others. "You are [too small|only one]." But {a} went anyway.
- {a} took a bucket and set off, and {a.he} did not look back.

%
- {a} walked all day in the hot sun. In the evening, {a.he} saw a [small green plant|line of ants|little bird]. "Where there is life, there is water," {a.he} thought.
- {a.He} walked and walked. At night {a.he} lay down on the ground, and there {a.he} heard a soft sound. Drip, drip, drip.

- {a} began to dig {where}. {a.He} dug until {a.his} {a.hands} hurt. And then the ground became wet.
- It came from a place {where}. {a} moved one stone after the other, and clear water came out.

- {a} ran back and told everyone. They came with buckets and pots, and they all drank.
- "Water!" {a} shouted. They all came running, and this time nobody fought.

- "You did not give up," said {g}. "That is why we have water."
- And on the very next day, it began to rain.
- They called it {a.N}'s Well, and it never ran dry.

# echo; wx=out; b=none; young=1
$ place: in the mountains || in the big cave || by the high rocks || at the edge of the canyon

%
- {oneday}{a} was {place}. "Hello!" {a.he} called. "Hello!" a voice called back.
- {oneday}{a} went for a walk. {place}, {a.he} shouted, "Is anyone there?" And a voice answered, "Anyone there?"

- {a} looked around, but {a.he} could not see anybody.
- "Who are you?" asked {a}. "Who are you?" asked the voice.

- "Go away!" {a} shouted. "Go away!" shouted the voice. {a} became angry, and so did the voice.
- "You are silly!" {a} shouted. "You are silly!" the voice shouted back. That hurt.

- {a} ran home and told {g} about it. "Somebody up there is very rude," {a.he} said.
- {a} went home with tears in {a.his} eyes. "What happened?" asked {g}.

%
- {g} smiled. "Try something else tomorrow," {g.he} said. "Say something kind."
- "Go back and be friendly," said {g}. "Then see what happens."

- So the next day, {a} went back. "I am sorry!" {a.he} called. "I am sorry!" said the voice.
- The next morning, {a} called, "You are my friend!" And the voice answered, "My friend!"

- {a} laughed, and the whole mountain laughed with {a.him}.
- "It was only my own voice!" said {a}, and {a.he} had to laugh.

- "The world gives back what you give to it," said {g}.
- From that day on, {a} only called out nice things.
'''


class Plot:
    """One parsed plot family."""

    def __init__(self, head: str):
        name, *opts = [x.strip() for x in head.split(";")]
        self.name = name
        self.opt = dict(x.split("=", 1) for x in opts)
        self.slots: list[tuple[list[str], list[list[str]]]] = []
        self.beats: list[tuple[float, list[str]] | None] = []  # None = paragraph break


def parse_plots(text: str) -> list[Plot]:
    """Parse the plot mini language; complain about what cannot be used."""
    plots: list[Plot] = []
    prob, cur = 1.0, []

    def flush() -> None:
        nonlocal prob, cur
        if cur:
            plots[-1].beats.append((prob, cur))
        prob, cur = 1.0, []

    for line in text.splitlines():
        line = line.strip()
        if not line:
            flush()
        elif line.startswith("# "):
            flush()
            plots.append(Plot(line[2:]))
        elif line.startswith("$ "):
            names, values = line[2:].split(":", 1)
            keys = [k.strip() for k in names.split(",")]
            rows = [[c.strip() for c in row.split(" ; ")] for row in values.split("||")]
            if any(len(r) != len(keys) for r in rows):
                raise ValueError(f"plot {plots[-1].name}: slot row of the wrong length in {line!r}")
            plots[-1].slots.append((keys, rows))
        elif line.startswith("?"):
            prob = float(line[1:])
        elif line == "%":
            flush()
            plots[-1].beats.append(None)
        elif line.startswith("- "):
            cur.append(line[2:])
        else:
            raise ValueError(f"cannot parse plot line: {line!r}")
    flush()
    return plots


PLOTS = parse_plots(PLOTS_TEXT)
_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SENT = re.compile(r'(^|\n|[.!?] |\." )([a-z])')
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiou])")
_VARIANTS = {
    "generic": OPEN_GENERIC, "unnamed": OPEN_UNNAMED, "friends": OPEN_FRIENDS, "day": OPEN_DAY, "day_unnamed": OPEN_DAY_UNNAMED, "end": END_DAY, "detail": DETAIL,
}
LINES = {k: [x for x in v.strip().splitlines() if x.strip()] for k, v in _VARIANTS.items()}


class Writer:
    """Writes stories from one seeded stream."""

    def __init__(self, seed: str):
        self.r = random.Random(seed)

    # -- small helpers ------------------------------------------------------
    def choose(self, text: str) -> str:
        """Resolve the inline choices of a template."""
        return _CHOICE.sub(lambda m: self.r.choice(m.group(1).split("|")), text)

    def name_for(self, gender: str, group: str) -> str:
        r = self.r
        x = r.random()
        if x < 0.10:  # an invented name, so that the model learns to copy names
            return r.choice(SYLL_A) + (r.choice(SYLL_B) if r.random() < 0.6 else "") + r.choice(SYLL_C)
        if group in ("forest", "farm", "wild", "fancy") and x < 0.75:
            return r.choice(PET_NAMES)
        return r.choice(GIRLS if gender == "f" else BOYS)

    def kind_for(self, group: str, gender: str) -> str:
        if group == "child":
            return "girl" if gender == "f" else "boy"
        pool = {"forest": FOREST, "farm": FARM, "wild": WILD, "fancy": FANCY, "worker": WORKERS}[group]
        while True:
            kind = self.r.choice(pool)
            if gender == "f" and kind in MALE:
                continue
            if gender == "m" and kind in FEMALE:
                continue
            return kind

    def opening(self, style: str, a: Being) -> str:
        """Pick an opening that tells what an animal hero is and does not say "Tom the boy"."""
        while True:
            line = self.r.choice(LINES[style])
            if a.group == "child" or a.kind in ("man", "woman"):
                return line.replace("{a} the {a.kind}", "{a}") if self.r.random() < 0.9 else line
            if not a.named or "{a.kind}" in line or "{a.full}" in line:
                return line

    # -- one story ----------------------------------------------------------
    def story(self) -> str:
        r = self.r
        while True:
            plot = r.choice(PLOTS)
            young_only = plot.opt.get("young") == "1"
            group = r.choices(["child", "forest", "farm", "wild", "fancy", "worker"], [46, 22, 9, 6, 9, 8])[0]
            if not (young_only and group == "worker"):
                break
        gender = r.choice("mf")
        kind = self.kind_for(group, gender)
        elder = group == "worker" or (not young_only and group in ("forest", "farm", "fancy") and r.random() < 0.2)
        adj = r.choice(OLD_ADJ if elder and r.random() < 0.7 else YOUNG_ADJ if not elder else ["kind", "quiet", "cheerful", "clever", "gentle", "friendly"])
        if elder and kind in ("puppy", "kitten", "lamb", "bunny", "calf", "foal", "piglet", "duckling"):
            kind = "fox" if group == "forest" else "dog"
        if group == "wild" and adj in ("tiny",):
            adj = "small"
        named = not (group != "child" and r.random() < 0.22)
        name = self.name_for(gender, group) if named else f"the {adj} {kind}"
        if not named and "little" not in name and "old" not in name and r.random() < 0.5:
            adj = "old" if elder else "little"
            name = f"the {adj} {kind}"
        a = Being(name, kind, gender, adj, group, named)
        a.hand1 = "hand" if a.hands == "hands" else a.hands[:-1].replace("hoove", "hoof")

        # the friend
        bgroup = {"worker": "child", "fancy": "child"}.get(group, group)
        if group == "child" and r.random() < 0.12 and plot.opt["b"] == "new":
            bgroup = "forest"
        if group == "fancy" and r.random() < 0.4:
            bgroup = "forest"
        bgender = gender if r.random() < 0.25 else ("m" if gender == "f" else "f")
        bname = self.name_for(bgender, bgroup)
        while bname == name:
            bname = self.name_for(bgender, bgroup)
        bkind = self.kind_for(bgroup, bgender)
        while bkind == kind and bgroup != "child":
            bkind = self.kind_for(bgroup, bgender)
        b = Being(bname, bkind, bgender, r.choice(YOUNG_ADJ), bgroup)
        friendly = ["{a.his} friend {b}", "{a.his} best friend {b}", "{a.his} good friend {b}"]
        if bgroup == "child":
            if group == "child":
                friendly += ["{a.his} " + ("sister" if bgender == "f" else "brother") + " {b}", "{a.his} cousin {b}", "{a.his} neighbor {b}"]
        else:
            friendly += ["{b} the {b.kind}", "{a.his} friend {b} the {b.kind}"]
        b.new = f"{an(b.adj + ' ' + b.kind)} named {b}"
        b.newn = an(b.adj + " " + b.kind)
        b.intro = r.choice(friendly).format(a=a, b=b)

        # the grown-up
        if group == "child":
            pool = [("f", f"{a.his} mother"), ("m", f"{a.his} father"), ("f", f"{a.his} grandmother"), ("m", f"{a.his} grandfather"), ("f", f"{a.his} aunt"), ("m", f"{a.his} uncle"), ("f", "the teacher")]
        elif elder:
            pool = [("f", f"{a.his} neighbor"), ("f", f"{a.his} sister"), ("m", f"{a.his} brother"), ("m", "the mayor")]
        elif group == "fancy":
            pool = [("m", "the old inventor"), ("f", "the kind old clockmaker"), ("f", f"{a.his} neighbor"), ("m", "the old teacher")]
        else:
            pool = [("f", f"{a.his} mother"), ("m", f"{a.his} father"), ("f", f"{a.his} grandmother"), ("m", f"{a.his} grandfather"), ("m", "the wise old owl" if kind != "owl" else "the wise old bear")]
        ggender, gname = r.choice(pool)
        g = Being(gname, "grown-up", ggender, "old", group, False)

        # the object
        noun = r.choice(TOYS)
        adjs = COLORS + [x for x in OBJ_ADJ if not (noun in SOFT and x in ("wooden", "round", "tiny"))]
        o = Thing(r.choice(adjs), noun)

        # time, weather, home
        wxset = plot.opt["wx"]
        wx = r.choice(WX[wxset])
        night = plot.opt.get("night") == "1"
        tod = r.choice(["evening", "night"]) if night else r.choice(["morning", "morning", "afternoon", "day", "day"])
        season = "winter" if wxset == "snow" else r.choice(["spring", "summer", "autumn"] + (["winter"] if wx in ("cold", "chilly") else []))
        home = r.choice(HOMES[group])
        while kind in ("robot",) and "cave" in home:
            home = r.choice(HOMES[group])
        hobby, hobby2 = r.sample(HOBBIES, 2)
        if group in ("child", "fancy", "worker"):
            home2 = r.choice(["in the village", "in town", "in the whole town"])
        else:
            home2 = r.choice(["in the forest", "in the valley", "in the meadow"]) if group == "forest" else r.choice(["on the farm", "in the meadow"]) if group == "farm" else "in the land"

        ns: dict = {
            "a": a, "b": b, "g": g, "o": o, "home": home, "home2": home2, "hobby": hobby, "hobby2": hobby2,
            "wx": wx, "tod": tod, "season": season, "color": r.choice(COLORS), "coins": r.choice(["five", "seven", "nine", "ten", "twelve"]),
        }
        ns["wxline"] = self.choose(r.choice(WX_LINE[wx]))
        ns["home2v"] = home2.replace("in ", "to ", 1).replace("on ", "to ", 1).replace("the whole town", "town")
        ns["dozed"] = r.choice(["watched the clouds", "thought about the world", "listened to the wind", "hummed a song", "dreamed a little"])
        if night:
            ns["dozed"] = r.choice(["watched the stars", "thought about the world", "listened to the wind"])
        human = group in ("child", "worker")
        ns["woke"] = self.choose(r.choice(WOKE if human else WOKE_ANIMAL)).format_map(ns) if not night else self.choose(r.choice(["looked up at the sky", "sat by the window", "was still awake", "listened to the wind", "lay in bed and listened"]))

        # opening
        x = r.random()
        bmode = plot.opt["b"]
        specific = False
        if named and bmode == "friend" and x < 0.12 and plot.name not in ("letter",):
            opening = r.choice(LINES["friends"])
            b.intro = b.name
        elif x < 0.58:
            opening = self.opening("generic" if named else "unnamed", a)
        else:
            opening = self.opening("day" if named else "day_unnamed", a)
            specific = True
        b.intro2 = b.intro

        for keys, rows in plot.slots:
            row = r.choice(rows)
            for k, v in zip(keys, row):
                ns[k] = self.choose(v).format_map(ns)
        if "his" in ns:
            ns["His"] = cap(ns["his"])
        for k in ("thing", "cause", "bad2"):
            if k in ns:
                ns["N_" + k] = cap(ns[k])
        if plot.name == "build":
            ns["thing2"] = "the " + ns["thing"].split(" ", 1)[1]
        if plot.name == "treasure":
            ns["chest2"] = ns["chest"] if ns["chest"].startswith("full") else "a chest " + ns["chest"]
        if plot.name == "promise":
            ns["task2"] = _promise(ns["task"], ns["b"])
            ns["need2"] = ns["need"]
            ns["task2"] = ns["task2"].replace(f"{b}'s", "your").replace(f"bring {b}", "bring you").replace(f"help {b}", "help you").replace(f"for {b}", "for you")
        if specific:
            oneday = r.choice(["", "", "That day, ", "On that day, "] if not night else ["", "", "That night, "])
            if plot.name == "snow":
                oneday = ""
        elif night:
            oneday = r.choice([f"One {wx} night, ", "One night, ", "One evening, "])
        else:
            oneday = r.choice(["One day, ", "One day, ", f"One {wx} {tod}, ", f"One {wx} {tod}, ", f"On a {wx} {tod}, ", "One morning, " if tod == "morning" else "One day, ", f"One day in {season}, "])
        ns["oneday"] = oneday

        ns["season2"] = r.choice(["spring", "summer", "autumn", "winter"])
        ns["taste"] = r.choice(["honey", "apples", "warm bread", "berries", "soup", "pears", "cheese", "plums"])
        paras: list[list[str]] = [[opening]]
        if not specific and "They" not in opening and r.random() < 0.4:
            paras[0].append(r.choice(LINES["detail"]))
        for beat in plot.beats:
            if beat is None:
                paras.append([])
                continue
            prob, variants = beat
            if prob < 1.0 and r.random() > prob:
                continue
            paras[-1].append(r.choice(variants))
        if night:
            if r.random() < 0.2:
                paras[-1].append("It was a [quiet|beautiful|peaceful] night.")
        elif r.random() < 0.45:
            paras[-1].append(r.choice(LINES["end"]))
        out = []
        # short first paragraphs are joined with the next one in half of the stories
        if len(paras) > 2 and r.random() < 0.5:
            paras[0:2] = [paras[0] + paras[1]]
        for para in paras:
            if not para:
                continue
            text = " ".join(_SENT.sub(lambda m: m.group(1) + m.group(2).upper(), self.choose(s).format_map(ns)) for s in para)
            out.append(text)
        text = "\n".join(out)
        text = _ARTICLE.sub(r"\1n ", text)
        if r.random() < 0.08:
            text += "\nThe end."
        return text


def _promise(task: str, friend: Being) -> str:
    return task.replace(f"look after {friend}'s", "look after your")


def generate(count: int, seed: str, avoid: set[bytes]) -> list[str]:
    """Write `count` distinct stories that are not in `avoid` (which is extended)."""
    writer, out, misses = Writer(seed), [], 0
    while len(out) < count:
        story = writer.story()
        key = hashlib.blake2b(story.encode(), digest_size=12).digest()
        if key in avoid:
            misses += 1
            if misses > 20 * count + 1000:
                raise RuntimeError("the grammar does not hold that many distinct stories")
            continue
        avoid.add(key)
        out.append(story)
    return out


def main() -> int:
    """Command line entry point."""
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--stories", type=int, default=330_000, help="number of training stories (default 330000)")
    ap.add_argument("--heldout-stories", type=int, default=2000, help="number of held-out stories (default 2000)")
    ap.add_argument("--seed", type=int, default=1, help="seed of the two story streams (default 1)")
    ap.add_argument("--out", type=Path, required=True, help="training corpus to write")
    ap.add_argument("--heldout", type=Path, required=True, help="held-out stories to write")
    ap.add_argument("--sample", type=Path, help="also write the first held-out stories here (about --sample-bytes)")
    ap.add_argument("--sample-bytes", type=int, default=30_000, help="size of the sample (default 30000)")
    a = ap.parse_args()
    if a.stories < 1 or a.heldout_stories < 1:
        ap.error("--stories and --heldout-stories must be at least 1")
    seen: set[bytes] = set()
    held = generate(a.heldout_stories, f"heldout-{a.seed}", seen)  # first, so that training avoids them
    train = generate(a.stories, f"train-{a.seed}", seen)
    for path, stories in ((a.out, train), (a.heldout, held)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n\n".join(stories) + "\n", encoding="utf-8")
        words = sum(len(s.split()) for s in stories)
        print(f"{path}: {len(stories)} stories, {words} words ({words / len(stories):.0f} per story), {path.stat().st_size} bytes")
    if a.sample:
        part, size = [], 0
        for s in held:
            size += len(s.encode()) + 2
            if part and size > a.sample_bytes:
                break
            part.append(s)
        a.sample.parent.mkdir(parents=True, exist_ok=True)
        a.sample.write_text("\n\n".join(part) + "\n", encoding="utf-8")
        print(f"{a.sample}: {len(part)} stories")
    return 0


if __name__ == "__main__":
    sys.exit(main())
